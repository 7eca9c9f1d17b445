"""Types under JAX's strictest settings, by their shapes alone: nothing is compiled or computed."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsnet_jax.baselines import panet, pfenet_prior, pmm, prototype, repri
from hsnet_jax.inference import combine_shots, encode_support, match_shots
from hsnet_jax.model import HSNet
from hsnet_jax.training import create_train_state
from hsnet_jax.training.augment import AUGMENTATIONS, augmented
from hsnet_jax.training.exchange import exchanged
from hsnet_jax.training.optimizers import make_optimizer, make_schedule
from hsnet_jax.training.steps import eval_step, train_step
from tests.made import SMALL, variables

SIDE, ROWS, SHOTS = 64, 4, 2


@pytest.fixture(params=['standard', 'strict'])
def wide(request):
  """64-bit JAX, where what has no type of its own is float64; with and without implicit types."""
  with jax.enable_x64(True), jax.numpy_dtype_promotion(request.param):
    yield


def batch(own_sizes=False):
  def zeros(*shape):
    return np.zeros(shape, np.uint8)

  made = {
    'query_image': zeros(ROWS, SIDE, SIDE, 3),
    'query_mask': zeros(ROWS, SIDE, SIDE),
    'query_ignore': zeros(ROWS, SIDE, SIDE),
    'support_images': zeros(ROWS, SHOTS, SIDE, SIDE, 3),
    'support_masks': zeros(ROWS, SHOTS, SIDE, SIDE),
    'class_id': np.zeros(ROWS, np.int32),
    'index': np.zeros(ROWS, np.int32),
    'valid': np.ones(ROWS, bool),
  }
  sizes = {'query_size': np.full((ROWS, 2), SIDE - 1, np.int32)}
  return {**made, **(sizes if own_sizes else {})}


def types(tree):
  return jax.tree.map(lambda x: x.dtype, tree)


@pytest.mark.parametrize(
  'schedule, precision',
  [('cosine', None), pytest.param('constant', jnp.bfloat16, marks=pytest.mark.heavy)],
)
def test_a_step_keeps_every_type(wide, schedule, precision):
  rate = make_schedule(1e-3, schedule=schedule, warmup_steps=2, last_step=9)
  tx = make_optimizer(rate, weight_decay=0.1, clip=1.0, ema=0.9)
  model = HSNet(SMALL, dtype=precision)
  state = create_train_state(
    jax.random.key(0), model=model, backbone=variables(SMALL)['backbone'], tx=tx
  )
  assert set(jax.tree.leaves(types(state.variables))) == {jnp.dtype('float32')}
  step = functools.partial(train_step, accumulate=2, boundary_weight=2.0, dice=0.5)
  step = augmented(jax.random.key(1), step, options=AUGMENTATIONS['all'])
  step = exchanged(jax.random.key(2), step, probability=0.5)

  def parts(state):
    return state.step, state.params, state.opt_state

  def step_parts(state, batch):
    after, metrics = step(state, batch)
    return parts(after), metrics

  after, metrics = jax.eval_shape(step_parts, state, batch())
  assert types(after) == types(parts(state)), 'or the next step is compiled anew'
  assert metrics['loss'].dtype == jnp.float32


@pytest.mark.parametrize('own_sizes', [False, True])
def test_what_is_counted_is_of_the_same_types(wide, own_sizes):
  count = functools.partial(eval_step, variables(SMALL), model=HSNet(SMALL))
  counted = types(jax.eval_shape(count, batch(own_sizes)))
  assert set(jax.tree.leaves(counted)) <= {jnp.dtype(name) for name in ('int32', 'uint8')}


def test_segmenting_is_in_float32(wide):
  model, held = HSNet(SMALL), variables(SMALL)

  def segment(query, images, masks):
    support = encode_support(model, held, images, masks)
    features = model.apply(held, query, method='encode')
    logits = match_shots(model, held, features, support, output_size=(50, 70))
    return logits, combine_shots(logits)

  pictures = jnp.zeros((SHOTS, SIDE, SIDE, 3), jnp.float32)
  logits, found = jax.eval_shape(
    segment, pictures, pictures, np.zeros(pictures.shape[:3], np.uint8)
  )
  assert logits.dtype == found.probability.dtype == jnp.float32 and found.mask.dtype == jnp.uint8


@pytest.mark.parametrize(
  'method',
  [
    prototype.episode_scores,
    pmm.pmm_scores,
    pfenet_prior.pfenet_prior_scores,
    panet.panet_logits,
    panet.panet_transductive_logits,
    repri.repri_logits,
  ],
)
@pytest.mark.parametrize('own_sizes', [False, True])
def test_other_methods_are_in_float32(wide, method, own_sizes):
  scores = functools.partial(method, HSNet(SMALL), variables(SMALL))
  assert jax.eval_shape(scores, batch(own_sizes)).dtype == jnp.float32
