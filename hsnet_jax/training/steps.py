"""Takes training and evaluation steps: pure functions of a state and a batch of episodes.

A batch holds pixel values as stored, `query_image` uint8 `[B, H, W, 3]`, `query_mask` and
`query_ignore` `[B, H, W]`, `support_images` uint8 `[B, K, H, W, 3]`, `support_masks`
`[B, K, H, W]`, `class_id` `[B]`, and `valid` `[B]`, False for the rows that fill up the last batch
of an epoch. Masks are {0, 1}. Images are normalized inside the step: a quarter of the bytes moved.
A batch with `query_size` `[B, 2]` has query masks at the photographs' own sizes, each in the top
left corner and ignored around it; the logits then go to that size in one step.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jaxtyping import Array, Float

from hsnet_jax.errors import InputError
from hsnet_jax.inference import combine_shots, episode_logits, mean_margin
from hsnet_jax.metrics.confusion import confusion_counts
from hsnet_jax.metrics.table import METRICS, Metric, count_episodes
from hsnet_jax.model import HSNet
from hsnet_jax.training.losses import LOSS_IGNORES, prediction_loss
from hsnet_jax.training.state import TrainState

Batch = Mapping[str, Array | np.ndarray]


def train_step(
  state: TrainState,
  batch: Batch,
  *,
  axis_name: str | None = None,
  accumulate: int = 1,
  ignore: bool = False,
  **loss_options: float,
) -> tuple[TrainState, dict[str, Array]]:
  """Takes one optimizer step on a batch of episodes.

  Each support of an episode is a 1-shot prediction of its own; the loss is their mean
  cross-entropy over all pixels (an ignore region is background, but for what `ignore` says).

  Args:
    state: the state, whose memory may be donated.
    batch: as the module describes it; under `axis_name`, this device's share.
    axis_name: the mapped axis (`pmap`) over which loss and gradients are averaged. Shares
      may hold different numbers of valid rows: each row of the whole batch weighs the same.
    accumulate: the batch is taken in so many parts, whose gradients are added: in less memory.
    ignore: whether the loss leaves out pixels whose `query_ignore` is `losses.LOSS_IGNORES`.
    **loss_options: of `hsnet_jax.training.losses.prediction_loss`, such as `foreground_weight`;
      none as published.

  Returns:
    The next state, and `loss` (of the whole batch) with this share's `counts` int32 `[B, 4]` (true
    and false positives, false and true negatives, by `confusion_counts`), `class_id`, `valid`.

  Raises:
    ValueError: `accumulate` does not divide the batch.
  """
  rows = batch['valid'].astype(jnp.float32).sum()
  rows = rows if axis_name is None else lax.pmean(rows, axis_name)

  def loss_fn(params, part):
    variables = {'params': params, 'backbone': state.backbone}
    logits = episode_logits(state.model, variables, part)
    judge = functools.partial(prediction_loss, **loss_options)
    left_out = part['query_ignore'] == LOSS_IGNORES if ignore else None
    losses = jax.vmap(lambda one: judge(one, part['query_mask'], left_out))(logits).mean(0)
    counted = losses * part['valid'].astype(losses.dtype)
    loss = counted.sum() / jnp.maximum(rows, 1e-9).astype(losses.dtype)
    mask = combine_shots(logits).mask
    return loss, confusion_counts(mask, part['query_mask'], part['query_ignore'])

  differentiate = jax.value_and_grad(loss_fn, has_aux=True)
  (loss, counts), gradients = _in_parts(differentiate, state.params, batch, accumulate)
  if axis_name is not None:
    loss, gradients = lax.pmean((loss, gradients), axis_name)
  # Optimizers multiply steps and rates, and settle types by NumPy's rules, whatever JAX is set to.
  with jax.numpy_dtype_promotion('standard'):
    updates, opt_state = state.tx.update(gradients, state.opt_state, state.params)
  params = optax.apply_updates(state.params, updates)
  metrics = {
    'loss': loss,
    'counts': counts,
    'class_id': batch['class_id'],
    'valid': batch['valid'],
  }
  return state.replace(step=state.step + 1, params=params, opt_state=opt_state), metrics


def _in_parts(differentiate: Callable, params: Any, batch: Batch, count: int):
  """Differentiates the batch's parts one after the other; loss and gradients are added."""
  if count == 1:
    return differentiate(params, batch)
  total = batch['valid'].shape[0]
  if total % count:
    raise ValueError(f'{count} parts do not divide a batch of {total}')
  # Part i has the rows i, i + count, ...: where rows are divided over devices, so is each part.
  parts = {k: jnp.moveaxis(x.reshape(-1, count, *x.shape[1:]), 1, 0) for k, x in batch.items()}

  def add(sums, part):
    (loss, counts), gradients = differentiate(params, part)
    return jax.tree.map(jnp.add, sums, (loss, gradients)), counts

  # The loss is of the parameters' type: not of the default one, which may be float64.
  start = jnp.zeros((), jax.tree.leaves(params)[0].dtype), jax.tree.map(jnp.zeros_like, params)
  (loss, gradients), counts = lax.scan(add, start, parts)
  return (loss, jnp.moveaxis(counts, 0, 1).reshape(total, *counts.shape[2:])), gradients


def eval_step(variables: Any, batch: Batch, *, model: HSNet) -> dict[str, Array]:
  """Counts, on a batch of episodes, what evaluation reports.

  Args:
    variables: of the network.
    batch: as the module describes it.
    model: the network.

  Returns:
    The rows of every metric of `METRICS` by its name, such as `counts` int32 `[B, 4]`, and the
    voted `prediction` uint8 `[B, H, W]`.
  """
  return count_logits(episode_logits(model, variables, batch), batch)


def count_logits(
  logits: Float[Array, 'shots batch h w 2'],
  batch: Batch,
  *,
  metrics: Mapping[str, Metric] = METRICS,
  score: Float[Array, ' batch'] | None = None,
) -> dict[str, Array]:
  """Counts what evaluation reports of logits, whatever method they come from.

  Args:
    logits: one set per shot, `[K, B, h, w, 2]`, channel 1 the foreground.
    batch: as the module describes it.
    metrics: the rows to count for.
    score: how sure it is that the object is there, by which `presence` and `risk` rank pictures; by
      default the `presence_score` of the margins.

  Returns:
    As `eval_step`.

  Raises:
    InputError: a metric is named as what lies beside its rows.
  """
  prediction = combine_shots(logits).mask
  truth = batch['query_mask'], batch['query_ignore']
  counted = count_episodes(prediction, mean_margin(logits), *truth, metrics=metrics, score=score)
  if 'prediction' in counted:
    raise InputError("a metric is named 'prediction', as the masks beside its rows are; rename it")
  return {**counted, 'prediction': prediction}
