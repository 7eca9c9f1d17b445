import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsnet_jax import inference
from hsnet_jax.errors import InputError
from hsnet_jax.model import HSNet
from tests.made import SMALL, variables


class FakeModel:
  """Has HSNet's public methods, forgets nothing it is asked, and costs nothing."""

  def __init__(self):
    self.encoded = []

  def apply(self, variables, *args, output_size=None, method=None):
    if method == 'encode':
      (images,) = args
      self.encoded.append(images.shape[0])
      return images[:, ::2, ::2] * variables['a'], images[:, ::4, ::4] ** 2
    if method == 'mask_support_features':
      (fine, coarse), mask = args
      return fine * mask[:, ::2, ::2, None], coarse
    if method == 'match':
      query, support, mask = args
      support = self.apply(variables, support, mask, method='mask_support_features')
    else:
      assert method == 'match_masked'
      query, support = args
    assert len({len(x) for x in (*query, *support)}) == 1
    height, width = output_size or query[0].shape[1:3]
    weight = support[0].mean(axis=(1, 2, 3)) + support[1].mean(axis=(1, 2, 3))
    score = query[0].mean(axis=-1) + query[1].mean(axis=(1, 2, 3))[:, None, None]
    score = jax.image.resize(score, (score.shape[0], height, width), 'nearest')
    return jnp.stack([0.1 * score, score * weight[:, None, None]], axis=-1)


def episodes(batch=3, shots=4, size=(12, 8), seed=0):
  rng = np.random.default_rng(seed)
  query = rng.normal(size=(batch, *size, 3)).astype(np.float32)
  supports = rng.normal(size=(batch, shots, *size, 3)).astype(np.float32)
  masks = (rng.random((batch, shots, *size)) < 0.5).astype(np.uint8)
  return query, supports, masks


VARIABLES = {'a': np.float32(2.0)}


@pytest.fixture(params=['plain', 'jit'])
def jitted(request):
  if request.param == 'plain':
    return lambda f, **options: functools.partial(f, **options)
  return lambda f, **options: jax.jit(functools.partial(f, **options), static_argnums=0)


@pytest.mark.parametrize('shots', [1, 4])
@pytest.mark.parametrize('output_size', [None, (5, 9)])
def test_episodes_match_one_by_one(shots, output_size, jitted):
  query, supports, masks = episodes(shots=shots)
  model = FakeModel()
  predict = jitted(inference.predict_episodes, output_size=output_size)
  logits = predict(model, VARIABLES, query, supports, masks)
  size = output_size or query.shape[1:3]
  assert logits.shape == (shots, 3, *size, 2)
  assert model.encoded == [3 + 3 * shots], 'the backbone ran more than once'
  for shot in range(shots):
    q, s = (model.apply(VARIABLES, x, method='encode') for x in (query, supports[:, shot]))
    expected = model.apply(VARIABLES, q, s, masks[:, shot], output_size=size, method='match')
    np.testing.assert_allclose(logits[shot], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('shots', [1, 3])
def test_shots_may_be_written_out_in_place_of_a_loop(shots):
  query, supports, masks = episodes(shots=shots)
  model = FakeModel()
  features = model.apply(VARIABLES, jnp.asarray(query), method='encode')
  support_set = inference.encode_support(model, VARIABLES, supports[0], masks[0])
  looped, written = (
    inference.match_shots(model, VARIABLES, features, support_set, unroll=unroll)
    for unroll in (False, True)
  )
  assert looped.shape == (shots, 3, 6, 4, 2)
  np.testing.assert_allclose(written, looped, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('shots', [1, 4])
@pytest.mark.parametrize('output_size', [None, (5, 9)])
def test_segment_is_predict_with_shared_supports(shots, output_size, jitted):
  query, supports, masks = episodes(shots=shots)
  model = FakeModel()
  encode = jitted(inference.encode_support)
  support_set = encode(model, VARIABLES, supports[0], masks[0])
  assert isinstance(support_set, inference.SupportSet)
  assert [x.shape[0] for x in support_set.features] == [shots, shots]
  segment = jitted(inference.segment, output_size=output_size)
  answer = segment(model, VARIABLES, query, support_set)
  assert model.encoded == [shots, 3], 'queries and supports are each encoded once'
  same = [np.broadcast_to(x[:1], x.shape) for x in (supports, masks)]
  logits = inference.predict_episodes(model, VARIABLES, query, *same, output_size=output_size)
  expected = inference.combine_shots(logits)
  assert isinstance(answer, inference.Segmentation) and answer.mask.dtype == jnp.uint8
  np.testing.assert_array_equal(answer.mask, expected.mask)
  np.testing.assert_allclose(answer.probability, expected.probability, rtol=1e-5)
  assert 0 < expected.mask.mean() < 1, 'the example decides nothing'


def test_a_support_set_is_masked_and_of_length_one(network):
  """Eq. 1 and the support's norm of Eq. 2 are computed once a set, whatever the queries."""
  model, variables = network
  _, supports, masks = episodes(batch=1, shots=2, size=(64, 96))
  masks[:, 1] = 0
  support_set = jax.jit(inference.encode_support, static_argnums=0)(
    model, variables, supports[0], masks[0]
  )
  for f in support_set.features:
    lengths = np.linalg.norm(f, axis=-1)
    assert (np.abs(lengths[0][lengths[0] > 0] - 1) < 1e-2).mean() > 0.9
    assert not lengths[1].any()


def test_segment_combines_shots_as_it_is_told():
  query, supports, masks = episodes(batch=2, shots=3)
  model = FakeModel()
  support_set = inference.encode_support(model, VARIABLES, supports[0], masks[0])
  features = [jnp.asarray(f) for f in model.apply(VARIABLES, query, method='encode')]
  size = query.shape[1:3]
  logits = inference.match_shots(model, VARIABLES, features, support_set, output_size=size)
  for name in inference.COMBINATIONS:
    found = inference.segment(model, VARIABLES, query, support_set, combine=name)
    expected = inference.combine_shots(inference.combination(name)(logits))
    np.testing.assert_array_equal(found.mask, expected.mask)
    np.testing.assert_allclose(found.probability, expected.probability, rtol=1e-6)
  with pytest.raises(InputError, match='`combine`'):
    inference.segment(model, VARIABLES, query, support_set, combine='most')


def test_sizes_that_differ_are_named():
  query, supports, masks = episodes()
  with pytest.raises(ValueError, match='6 x 8.*12 x 8'):
    inference.predict_episodes(FakeModel(), VARIABLES, query[:, :6], supports, masks)


def test_shots_are_matched_from_features():
  query, supports, masks = episodes()
  model = FakeModel()
  support_set = inference.encode_support(model, VARIABLES, supports[0], masks[0])
  features = model.apply(VARIABLES, jnp.asarray(query), method='encode')
  logits = inference.match_shots(model, VARIABLES, features, support_set)
  assert logits.shape == (4, 3, 6, 4, 2), "without a size they are the decoder's own"
  logits = inference.match_shots(
    model, VARIABLES, features, support_set, output_size=query.shape[1:3]
  )
  whole = inference.segment(model, VARIABLES, query, support_set)
  np.testing.assert_array_equal(inference.combine_shots(logits).mask, whole.mask)


def test_an_uncompiled_loop_is_traced_once():
  query, supports, masks = episodes()
  model, traces = FakeModel(), []

  class Counting(FakeModel):
    def apply(self, *args, method=None, **options):
      traces.append(method)
      return model.apply(*args, method=method, **options)

  counting = Counting()
  support_set = inference.encode_support(counting, VARIABLES, supports[0], masks[0])
  for _ in range(3):
    inference.segment(counting, VARIABLES, query, support_set)
  assert traces.count('match_masked') == traces.count('mask_support_features') == 1
  assert traces.count('encode') == 4


def test_masks_may_be_bool_or_float():
  query, supports, masks = episodes()
  model = FakeModel()
  one, two, three = (
    inference.predict_episodes(model, VARIABLES, query, supports, masks.astype(dtype))
    for dtype in (np.uint8, bool, np.float32)
  )
  np.testing.assert_array_equal(one, two)
  np.testing.assert_array_equal(one, three)


class WideModel(FakeModel):
  """Matches with an intermediate a hundred times its logits, which a gradient could keep.

  It is sorted, since the compiler makes no array of what it can fuse.
  """

  def apply(self, variables, *args, method=None, **options):
    out = super().apply(variables, *args, method=method, **options)
    if method in ('encode', 'mask_support_features'):
      return out
    return jnp.sort(jnp.sin(out[..., None] * jnp.ones((1, 1, 1, 1, 100)))).mean(-1)


WIDE = 100 * 2 * 3 * 12 * 8  # Elements of it in `episodes()`.


def test_memory_does_not_grow_by_matching_every_shot_at_once():
  """Shots are a loop in the compiled program, not K copies of the match."""

  def temporary(shots):
    predict = jax.jit(functools.partial(inference.predict_episodes, WideModel()))
    compiled = predict.lower(VARIABLES, *episodes(shots=shots)).compile()
    return compiled.memory_analysis().temp_size_in_bytes

  few, many = temporary(2), temporary(10)
  assert few >= 4 * WIDE, 'the compiler did without the intermediate'
  assert many - few < 4 * WIDE, 'eight more shots take room for another intermediate'


def test_memory_of_a_gradient_does_not_grow_either():
  """Shots are computed anew in the backward pass; one alone is not."""

  def largest_kept(shots):
    predict = functools.partial(inference.predict_episodes, WideModel())
    arguments = episodes(shots=shots)
    vjp = jax.eval_shape(
      lambda v: jax.tree.leaves(jax.vjp(lambda v: predict(v, *arguments), v)[1]), VARIABLES
    )
    return max(leaf.size for leaf in vjp)

  assert largest_kept(1) >= WIDE > largest_kept(5)


def test_a_gradient_is_that_of_each_shot():
  query, supports, masks = (jnp.asarray(x) for x in episodes())

  def loss(variables, supports, masks):
    logits = inference.predict_episodes(WideModel(), variables, query, supports, masks)
    return (logits**2).sum()

  gradient = jax.jit(jax.grad(loss))
  each = [gradient(VARIABLES, supports[:, k : k + 1], masks[:, k : k + 1])['a'] for k in range(4)]
  np.testing.assert_allclose(gradient(VARIABLES, supports, masks)['a'], sum(each), rtol=1e-4)


@pytest.fixture(
  scope='module',
  params=[SMALL, pytest.param('tiny', marks=pytest.mark.heavy)],
  ids=['small', 'tiny'],
)
def network(request):
  """HSNet with made weights, of a backbone that compiles quickly and of the usual one."""
  return HSNet(request.param), variables(request.param)


def test_support_set_of_hsnet(network):
  """A shared support set gives what the network gives, called whole for each shot."""
  model, variables = network
  query, supports, masks = episodes(batch=2, shots=2, size=(64, 96))
  encode = jax.jit(inference.encode_support, static_argnums=0)
  support_set = encode(model, variables, supports[0], masks[0])
  answer = jax.jit(inference.segment, static_argnums=0)(model, variables, query, support_set)

  whole = jax.jit(model.apply)
  shots = [[np.stack([x[0, k]] * 2) for x in (supports, masks)] for k in range(2)]
  expected = np.stack([whole(variables, query, *shot) for shot in shots])
  assert np.std(expected) > 0
  expected = inference.combine_shots(expected)
  np.testing.assert_allclose(answer.probability, expected.probability, atol=1e-5)
  assert (answer.mask != expected.mask).mean() < 1e-3


def test_episodes_of_hsnet(network):
  predict = functools.partial(inference.predict_episodes, network[0], output_size=(31, 50))
  for shots in (1, 2):
    logits = jax.eval_shape(predict, network[1], *episodes(batch=2, shots=shots, size=(64, 96)))
    assert (logits.shape, logits.dtype) == ((shots, 2, 31, 50, 2), jnp.float32)


def test_queries_of_another_size(network):
  """A support set serves queries of other sizes, answered at any size."""
  model, variables = network
  query, supports, masks = episodes(batch=2, shots=2, size=(64, 96))
  query = query[:, :48, :64]

  def run(variables, query, supports, masks, output_size=None):
    support_set = inference.encode_support(model, variables, supports, masks)
    return inference.segment(model, variables, query, support_set, output_size=output_size)

  for output_size, expected in ((None, (48, 64)), ((31, 50), (31, 50))):
    shapes = jax.eval_shape(
      functools.partial(run, output_size=output_size), variables, query, supports[0], masks[0]
    )
    assert shapes.mask.shape == shapes.probability.shape == (2, *expected)
    assert (shapes.mask.dtype, shapes.probability.dtype) == (jnp.uint8, jnp.float32)


@pytest.mark.parametrize('images, masks', [(2, 1), (1, 2), (0, 0)])
def test_supports_need_a_mask_each(images, masks, jitted):
  pictures = np.zeros((images, 12, 8, 3), np.float32)
  drawn = np.zeros((masks, 12, 8), np.uint8)
  encode = jitted(inference.encode_support)
  with pytest.raises(InputError, match=f'{images} support images and {masks} masks'):
    encode(FakeModel(), VARIABLES, pictures, drawn)
  predict = jitted(inference.predict_episodes)
  query = np.zeros((1, 12, 8, 3), np.float32)
  with pytest.raises(InputError, match=f'{images} support images and {masks} masks'):
    predict(FakeModel(), VARIABLES, query, pictures[None], drawn[None])
