"""Brings rows of counts, one per episode, from the device to an accumulator on the host."""

from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Bool, Integer

# True or predicted masks in {0, 1}, or what is left out of both.
Mask = Bool[Array | np.ndarray, '*batch h w'] | Integer[Array | np.ndarray, '*batch h w']


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
