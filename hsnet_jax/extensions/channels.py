"""Counts what a backbone gives, for the shapes of what is learned on it."""

import functools

import jax
import numpy as np

from hsnet_jax.backbones.backbone import Backbone


@functools.cache
def feature_channels(spec: Backbone) -> tuple[int, ...]:
  """Counts the channels of each of a backbone's maps; computes nothing.

  Args:
    spec: the backbone.

  Returns:
    How many, finest first.
  """
  image = jax.ShapeDtypeStruct((1, 64, 64, 3), np.float32)
  maps = jax.eval_shape(lambda x: tuple(spec.apply(spec.init(jax.random.key(0)), x)), image)
  return tuple(x.shape[-1] for x in maps)
