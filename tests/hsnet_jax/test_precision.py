"""The network in bfloat16: what is float32 all the same, and how far its answers are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsnet_jax.backbones import BACKBONES, get_backbone
from hsnet_jax.model import HSNet
from hsnet_jax.training import create_train_state, train_step
from tests import made


@pytest.mark.parametrize('name', BACKBONES)
def test_features_have_the_networks_type(name):
  model = HSNet(name, dtype=jnp.bfloat16)
  images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
  weights = jax.eval_shape(get_backbone(name).init, jax.random.key(0))
  encode = lambda v, x: model.apply(v, x, method='encode')  # noqa: E731
  features = jax.eval_shape(encode, {'backbone': weights}, images)
  assert {f.dtype for f in features} == {jnp.dtype(jnp.bfloat16)}


def test_answers_are_near_those_of_float32():
  query, support = made.normal((2, 64, 64, 3), (2, 64, 64, 3))
  mask = np.zeros((2, 64, 64), np.uint8)
  mask[:, 16:48, 8:40] = 1
  wide, short = (
    jax.jit(HSNet(made.SMALL, dtype=dtype).apply)(made.variables(made.SMALL), query, support, mask)
    for dtype in (None, jnp.bfloat16)
  )
  assert wide.dtype == short.dtype == jnp.float32
  difference = np.abs(np.asarray(wide - short)).max() / np.abs(wide).max()
  assert 0 < difference < 0.05  # Not nothing, or it was not bfloat16; a few of its steps of 2**-8.


def test_parameters_and_their_gradients_stay_float32():
  model = HSNet(made.SMALL, dtype=jnp.bfloat16)
  backbone = made.SMALL.init(jax.random.key(0))
  state = create_train_state(jax.random.key(1), model=model, backbone=backbone)
  image, mask = np.zeros((2, 64, 64, 3), np.uint8), np.ones((2, 64, 64), np.uint8)
  batch = {
    'query_image': image,
    'query_mask': mask,
    'query_ignore': 0 * mask,
    'support_images': image[:, None],
    'support_masks': mask[:, None],
    'class_id': np.zeros(2, np.int32),
    'valid': np.ones(2, bool),
  }
  leaves = jax.eval_shape(lambda *a: jax.tree.leaves(train_step(*a)[0].params), state, batch)
  assert {leaf.dtype for leaf in leaves} == {jnp.dtype(jnp.float32)}
