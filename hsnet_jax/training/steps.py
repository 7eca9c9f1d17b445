"""Training and evaluation steps: pure functions of a state and a batch of episodes.

A batch holds pixel values as stored, `query_image` uint8 `[B, H, W, 3]`, `query_mask` and
`query_ignore` `[B, H, W]`, `support_images` uint8 `[B, K, H, W, 3]`, `support_masks`
`[B, K, H, W]`, `class_id` `[B]`, and `valid` `[B]`, False for the rows that fill up the last batch
of an epoch. Masks are {0, 1}. Images are normalised inside the step: a quarter of the bytes moved.
A batch with `query_size` `[B, 2]` has query masks at the photographs' own sizes, each in the top
left corner and ignored around it; the logits then go to that size in one step.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import lax
from jaxtyping import Array, Float, Shaped

from hsnet_jax.backbones import get_backbone
from hsnet_jax.encoder import fan_in_bound
from hsnet_jax.inference import combine_shots, mean_margin, predict_episodes
from hsnet_jax.metrics import confusion_counts, count_episodes
from hsnet_jax.model import HSNet
from hsnet_jax.training.averaging import averaged_params
from hsnet_jax.training.losses import cross_entropy

Batch = Mapping[str, Array]


class TrainState(flax.struct.PyTreeNode):
  """What a training step changes, and the frozen backbone that it only reads.

  Attributes:
    step: optimizer steps done, int32.
    params: the learnable parameters.
    opt_state: the optimizer's.
    backbone: the frozen weights, no part of gradient or optimizer.
    model: the network.
    tx: the optimizer.
  """

  step: Array
  params: Any
  opt_state: Any
  backbone: Any
  model: HSNet = flax.struct.field(pytree_node=False)
  tx: optax.GradientTransformation = flax.struct.field(pytree_node=False)

  @property
  def variables(self) -> dict[str, Any]:
    """What `HSNet.apply` takes."""
    return {'params': self.params, 'backbone': self.backbone}

  @property
  def eval_variables(self) -> dict[str, Any]:
    """The same for testing: with the optimizer's average of the parameters where it keeps one."""
    params = averaged_params(self.opt_state, self.params)
    return {'params': params, 'backbone': self.backbone}


def normalize(
  images: Shaped[Array | np.ndarray, '*batch H W 3'], backbone: str
) -> Float[Array, '*batch H W 3']:
  """Pixel values 0 to 255 as `backbone` was trained to see them.

  Args:
    images: as stored, `[..., H, W, 3]`.
    backbone: whose mean and standard deviation.

  Returns:
    float32, of the same shape.

  Raises:
    TypeError: `images` are not uint8: those in [0, 1], say, would come out nearly black.
    InputError: there is no such backbone.
  """
  if images.dtype != jnp.uint8:
    raise TypeError(f'images are {images.dtype}; normalize takes the uint8 values as stored')
  spec = get_backbone(backbone)
  mean, std = jnp.asarray(spec.mean, jnp.float32), jnp.asarray(spec.std, jnp.float32)
  lead = (1,) * (images.ndim - 1)
  return (jnp.asarray(images).astype(jnp.float32) - mean.reshape(*lead, 3)) / std.reshape(*lead, 3)


def init_params(key: Array, model: HSNet) -> dict[str, Any]:
  """Initial learnable parameters, by PyTorch's defaults as the published network has them.

  The same distribution as `model.init`, in one draw for all: that compiles in a second, and
  Linen's, one for each shape and a forward pass besides, in half a minute.

  Args:
    key: for the draw.
    model: the network.

  Returns:
    The tree 'params' of the network's variables, float32.
  """
  spec = get_backbone(model.backbone)
  images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
  mask = jax.ShapeDtypeStruct((1, 64, 64), jnp.float32)
  features = jax.eval_shape(lambda k, x: spec.apply(spec.init(k), x), key, images)
  init = functools.partial(model.init, method='match')
  shapes = flatten_dict(jax.eval_shape(init, key, features, features, mask)['params'])
  bounds = {
    path[:-1]: fan_in_bound(leaf.shape)
    for path, leaf in shapes.items()
    if path[-1].endswith('kernel')
  }
  count = sum(leaf.size for leaf in shapes.values())
  draws = jax.random.uniform(key, (count,), minval=-1, maxval=1)
  if not isinstance(draws, jax.core.Tracer):
    draws = np.asarray(draws)  # cut up without a compilation for every shape
  params, start = {}, 0
  for path, leaf in shapes.items():
    if path[:-1] in bounds:
      drawn = draws[start : start + leaf.size].reshape(leaf.shape)
      params[path] = jnp.asarray(bounds[path[:-1]] * drawn)
      start += leaf.size
    else:  # group norm
      # With a dtype: a weakly typed number would have the step compiled anew after each update.
      params[path] = jnp.full(leaf.shape, path[-1] == 'scale', jnp.float32)
  return unflatten_dict(params)


def create_train_state(
  key: Array,
  *,
  model: HSNet,
  backbone: Mapping[str, Any],
  tx: optax.GradientTransformation | None = None,
) -> TrainState:
  """A state at step 0.

  Args:
    key: for the initial parameters.
    model: the network.
    backbone: its frozen weights.
    tx: the optimizer; Adam at 1e-3, the published setting, by default.

  Returns:
    The state.
  """
  tx = optax.adam(1e-3) if tx is None else tx
  params = init_params(key, model)
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=params,
    opt_state=tx.init(params),
    backbone=dict(backbone),
    model=model,
    tx=tx,
  )


def _episode_logits(model: HSNet, variables: Any, batch: Batch) -> Float[Array, 'K B H W 2']:
  query = normalize(batch['query_image'], model.backbone)
  supports = normalize(batch['support_images'], model.backbone)
  return predict_episodes(
    model,
    variables,
    query,
    supports,
    batch['support_masks'],
    output_size=batch['query_mask'].shape[1:3],
    own_sizes=batch.get('query_size'),
  )


def train_step(
  state: TrainState, batch: Batch, *, axis_name: str | None = None, accumulate: int = 1
) -> tuple[TrainState, dict[str, Array]]:
  """One optimizer step on a batch of episodes.

  Each support of an episode is a 1-shot prediction of its own; the loss is their mean
  cross-entropy over all pixels (an ignore region counts as background).

  Args:
    state: the state, whose memory may be donated.
    batch: as the module describes it; under `axis_name`, this device's share.
    axis_name: the mapped axis (`pmap`) over which loss and gradients are averaged. Shares
      may hold different numbers of valid rows: each row of the whole batch weighs the same.
    accumulate: the batch is taken in so many parts, one after the other, and their gradients are
      added: the same step in less memory.

  Returns:
    The next state, and `loss` (of the whole batch) with this share's `counts` int32 `[B, 4]` (true
    and false positives, false and true negatives, by `confusion_counts`), `class_id`, `valid`.

  Raises:
    ValueError: `accumulate` does not divide the batch.
  """
  rows = batch['valid'].astype(jnp.float32).sum()
  if axis_name is not None:
    rows = lax.pmean(rows, axis_name)

  def loss_fn(params, part):
    variables = {'params': params, 'backbone': state.backbone}
    logits = _episode_logits(state.model, variables, part)
    losses = jax.vmap(lambda z: cross_entropy(z, part['query_mask']))(logits)
    loss = (losses.mean(0) * part['valid']).sum() / jnp.maximum(rows, 1e-9)
    mask = combine_shots(logits).mask
    return loss, confusion_counts(mask, part['query_mask'], part['query_ignore'])

  differentiate = jax.value_and_grad(loss_fn, has_aux=True)
  (loss, counts), gradients = _in_parts(differentiate, state.params, batch, accumulate)
  if axis_name is not None:
    loss, gradients = lax.pmean((loss, gradients), axis_name)
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
  """`differentiate` of the batch's parts, one after the other: loss and gradients are added."""
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

  start = jnp.zeros(()), jax.tree.map(jnp.zeros_like, params)
  (loss, gradients), counts = lax.scan(add, start, parts)
  return (loss, jnp.moveaxis(counts, 0, 1).reshape(total, *counts.shape[2:])), gradients


def eval_step(variables: Any, batch: Batch, *, model: HSNet) -> dict[str, Array]:
  """What evaluation counts on a batch of episodes.

  Args:
    variables: of the network.
    batch: as the module describes it.
    model: the network.

  Returns:
    The rows of every metric of `METRICS` by its name, such as `counts` int32 `[B, 4]`, and the
    voted `prediction` uint8 `[B, H, W]`.
  """
  logits = _episode_logits(model, variables, batch)
  prediction = combine_shots(logits).mask
  truth = batch['query_mask'], batch['query_ignore']
  counted = count_episodes(prediction, mean_margin(logits), *truth)
  return {**counted, 'prediction': prediction}
