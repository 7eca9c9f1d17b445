"""Holds what a training step changes, and starts it: parameters drawn as PyTorch draws them."""

import functools
from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.core import Tracer
from jaxtyping import Array

from hsnet_jax.backbones.table import get_backbone
from hsnet_jax.decoder import PRIOR_GAIN, PRIOR_THRESHOLD
from hsnet_jax.extensions.channels import feature_channels
from hsnet_jax.kernels.initial import fan_in_bound
from hsnet_jax.model import HSNet
from hsnet_jax.training.averaging import averaged_params

# What is no kernel starts as, by its name; 0 otherwise.
_CONSTANT = {'scale': 1, 'gain': PRIOR_GAIN, 'threshold': PRIOR_THRESHOLD}


class TrainState(flax.struct.PyTreeNode):
  """Holds what a training step changes, and the frozen backbone that it only reads.

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
    """Gives what `HSNet.apply` takes."""
    return {'params': self.params, 'backbone': self.backbone}

  @property
  def eval_variables(self) -> dict[str, Any]:
    """Gives the same for testing: with the average of the parameters where one is kept."""
    params = averaged_params(self.opt_state, self.params)
    return {'params': params, 'backbone': self.backbone}


def init_params(key: Array, model: HSNet) -> dict[str, Any]:
  """Draws initial learnable parameters, by PyTorch's defaults as the published network has them.

  The same distribution as `model.init`, in one draw for all: that compiles in a second, and
  Linen's, one for each shape and a forward pass besides, in half a minute. One thing differs: with
  a prior the last convolution starts at zero, so that training starts from the prior itself.

  Args:
    key: for the draw.
    model: the network.

  Returns:
    The tree 'params' of the network's variables, float32.
  """
  spec, head = get_backbone(model.backbone), model.head
  # The shapes of the parameters depend on how many maps there are, and on those that are skipped.
  channels = feature_channels(spec) if head.skip else (1,) * sum(spec.levels)
  features = tuple(jax.ShapeDtypeStruct((1, 1, 1, c), jnp.float32) for c in channels)
  pooled = tuple(jax.ShapeDtypeStruct((1, 2, c), jnp.float32) for c in channels)
  pooled = head.matched(pooled, spec.levels)
  init = functools.partial(model.init, method='match_masked')
  tree = jax.eval_shape(init, key, features, features, prototypes=pooled)['params']
  shapes: dict[tuple[str, ...], Any] = {**flatten_dict(tree)}
  bounds = {
    path[:-1]: fan_in_bound(leaf.shape)
    for path, leaf in shapes.items()
    if path[-1].endswith('kernel')
  }
  count = sum(leaf.size for leaf in shapes.values())
  draws = jax.random.uniform(key, (count,), jnp.float32, minval=-1, maxval=1)
  if not isinstance(draws, Tracer):
    draws = np.asarray(draws)  # cut up without a compilation for every shape
  params, start = {}, 0
  for path, leaf in shapes.items():
    if path[:-1] in bounds:
      drawn = draws[start : start + leaf.size].reshape(leaf.shape)
      params[path] = bounds[path[:-1]] * drawn
      start += leaf.size
    else:  # group norm, and a prior's gain and threshold
      value = _CONSTANT.get(path[-1], 0)
      # With a dtype: a weakly typed number would have the step compiled anew after each update.
      params[path] = jnp.full(leaf.shape, value, jnp.float32)
  if head.prior:  # The network starts as its prior, which is corrected from nothing.
    last = ('decoder', 'conv3')
    params |= {path: jnp.zeros_like(x) for path, x in params.items() if path[:2] == last}
  return unflatten_dict(params)


def create_train_state(
  key: Array,
  *,
  model: HSNet,
  backbone: Mapping[str, Any],
  tx: optax.GradientTransformation | None = None,
) -> TrainState:
  """Makes a state at step 0.

  Args:
    key: for the initial parameters.
    model: the network; whatever it finds is trained, so its `presence_threshold` is taken off.
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
    model=model.clone(presence_threshold=None),
    tx=tx,
  )
