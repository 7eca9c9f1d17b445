"""Brings rows of counts, one per episode, from the device to the host, sums and divides them."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Integer, Real

# True or predicted masks in {0, 1}, or what is left out of both.
Mask = Bool[Array | np.ndarray, '*batch h w'] | Integer[Array | np.ndarray, '*batch h w']

Number = Real[np.ndarray, '...'] | np.number | float


def select_rows(
  rows: Any, *columns: Any, row_shape: tuple[int, ...], valid: Any = None
) -> tuple[np.ndarray, ...]:
  """Brings per-episode arrays to the host, flattens their leading axes, drops padding.

  Args:
    rows: `[..., *row_shape]` integers, one row per episode.
    *columns: further arrays with one value per episode, `[...]`.
    row_shape: the shape of one episode's row.
    valid: bool `[...]`, False for rows to drop; all are kept by default.

  Returns:
    The rows as int64 `[N, *row_shape]`, then the columns `[N]`.

  Raises:
    ValueError: if shapes disagree.
  """
  rows = np.asarray(jax.device_get(rows))
  lead = rows.shape[: rows.ndim - len(row_shape)]
  if rows.shape != (*lead, *row_shape):
    raise ValueError(f'rows of shape {row_shape} expected, got an array {rows.shape}')
  keep = np.ones(lead, bool) if valid is None else np.asarray(jax.device_get(valid), bool)
  ours = [np.asarray(column) for column in jax.device_get(columns)]
  for column in (keep, *ours):
    if column.shape != lead:
      raise ValueError(f'one value per episode expected, {lead}, got an array {column.shape}')
  keep = keep.reshape(-1)
  rows = rows.reshape(-1, *row_shape)[keep].astype(np.int64)
  return rows, *(column.reshape(-1)[keep] for column in ours)


def check_class_ids(class_id: np.ndarray, num_classes: int) -> None:
  """Raises ValueError unless every id is in [0, num_classes)."""
  outside = class_id[(class_id < 0) | (class_id >= num_classes)]
  if outside.size:
    raise ValueError(f'class id {outside[0]} is outside 0..{num_classes - 1}')


def percent(part: Number, whole: Number) -> Float[np.ndarray, '...'] | np.floating:
  """Computes `100 part / whole`; NaN where there is nothing to divide by."""
  whole = np.asarray(whole, np.float64)
  return 100.0 * np.asarray(part) / np.where(whole > 0, whole, np.nan)


def class_sums(
  rows: Real[np.ndarray, 'episodes n'],
  class_id: Integer[np.ndarray, ' episodes'],
  often: Real[np.ndarray, 'draws episodes'],
  classes: Sequence[int],
) -> tuple[Float[np.ndarray, 'draws classes n'], Bool[np.ndarray, 'draws classes']]:
  """Sums the rows of each class, each as often as it is drawn.

  Args:
    rows: one of each episode.
    class_id: its class.
    often: how often each draw has it.
    classes: which are summed.

  Returns:
    The sums, and whether a class counts in a draw's mean: where the draw has an episode of it, or
    where there is none at all, as in the figure itself.
  """
  sums = np.zeros((len(often), len(classes), rows.shape[1]))
  there = np.ones(sums.shape[:2], bool)
  for i, c in enumerate(classes):
    own = np.asarray(class_id) == c
    drawn = often[:, own].astype(np.float64)
    sums[:, i] = drawn @ rows[own]
    there[:, i] = drawn.any(axis=1) | (not own.any())
  return sums, there


def class_mean(
  values: Float[np.ndarray, '*draws classes'], there: Bool[np.ndarray, '*draws classes']
) -> Float[np.ndarray, '*draws'] | np.floating:
  """Computes the mean over the classes that are there; NaN where none is."""
  number = there.sum(axis=-1)
  return np.where(there, values, 0).sum(axis=-1) / np.where(number > 0, number, np.nan)
