import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from hsnet_jax.decoder import Decoder
from hsnet_jax.encoder import Block, upsample_query
from hsnet_jax.errors import InputError
from hsnet_jax.model import HSNet
from hsnet_jax.resize import resize_bilinear
from tests import made
from tests.made import assert_close


def images(batch, size, seed=0):
  """A query or support, and a mask for it."""
  rng = np.random.default_rng(seed)
  image = rng.normal(size=(batch, *size, 3))
  mask = rng.random((batch, *size)) < 0.5
  return jnp.asarray(image, jnp.float32), jnp.asarray(mask, jnp.uint8)


@pytest.fixture(
  scope='module',
  params=[made.SMALL, pytest.param('tiny', marks=pytest.mark.heavy)],
  ids=['small', 'tiny'],
)
def network(request):
  """HSNet over a backbone that compiles quickly, and over the usual one; made weights."""
  return HSNet(request.param), made.variables(request.param)


def shapes(name, query, support, mask=None, **options):
  """Shape of the logits, without computing or holding anything."""

  def run(key):
    args = [jnp.zeros((2, *size, 3)) for size in (query, support)] + [
      jnp.zeros((2, *(mask or support)), bool)
    ]
    return HSNet(name).init_with_output(key, *args, **options)[0]

  out = jax.eval_shape(run, jax.random.key(0))
  assert out.dtype == jnp.float32
  return out.shape


@pytest.mark.parametrize(
  ('name', 'query', 'support', 'output_size'),
  [
    ('resnet50', (264, 520), (264, 520), None),
    ('resnet50', (201, 333), (120, 97), (31, 50)),
    ('mobilenet_v1_075', (33, 40), (520, 64), None),
    ('tiny', (32, 47), (264, 264), (700, 5)),
  ],
)
def test_residual_networks_take_images_of_any_size(name, query, support, output_size):
  assert shapes(name, query, support, output_size=output_size) == (2, *(output_size or query), 2)


@pytest.mark.parametrize('size', [32, 97, 400])
def test_vgg16_takes_the_usual_sizes(size):
  """Only the support's size matters: queries may have any."""
  assert shapes('vgg16', (264, 300), (size, size)) == (2, 264, 300, 2)


@pytest.mark.parametrize('size', [264, 520])
def test_vgg16_refuses_supports_whose_levels_disagree(size):
  """In one line that a command can print; the size is the images', whatever the mask's."""
  match = rf'^vgg16 cannot .* {size} x {size} pixels: .* choose another image size'
  with pytest.raises(InputError, match=match) as error:
    shapes('vgg16', (400, 400), (size, size), mask=(50, 60))
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(
  ('query', 'support', 'named'),
  [
    ((31, 64), (97, 97), '31 x 64'),
    ((97, 97), (64, 31), '64 x 31'),
    ((1, 1), (1, 1), '1 x 1'),
  ],
)
def test_vgg16_refuses_images_of_which_its_pooling_leaves_nothing(query, support, named):
  with pytest.raises(InputError, match=rf'^vgg16 cannot .* {named} pixels.* at least 32 x 32'):
    shapes('vgg16', query, support)


def test_unknown_backbone():
  with pytest.raises(InputError, match='resnet1001'):
    shapes('resnet1001', (64, 64), (64, 64))


def test_options_are_keyword_only():
  with pytest.raises(TypeError):
    HSNet('tiny', False)


@pytest.fixture(scope='module')
def oblong(network):
  """A query and a support of unlike sizes, neither square, and the logits."""
  model, variables = network
  operands = (*images(1, (64, 48))[:1], *images(1, (48, 96), seed=1))
  return operands, jax.jit(model.apply)(variables, *operands)


def test_one_call_is_encode_then_match(network, oblong):
  model, variables = network
  (query, support, mask), whole = oblong

  @jax.jit
  def run(variables, query, support, mask):
    features = [model.apply(variables, x, method='encode') for x in (query, support)]
    return model.apply(variables, *features, mask, method='match')

  own = run(variables, query, support, mask)
  assert own.shape == (1, 16, 12, 2), "the decoder's own size is twice the finest map's"
  assert whole.shape == (1, 64, 48, 2)
  assert_close(resize_bilinear(own, (64, 48)), whole)


def test_heights_and_widths_do_not_mix(network, oblong):
  """Turning every image and every kernel about its diagonal turns the logits alone."""
  model, variables = network

  def turn(leaf):
    return leaf.swapaxes(0, 1) if leaf.ndim == 4 else leaf

  operands, whole = oblong
  turned = [x.swapaxes(1, 2) for x in operands]
  logits = jax.jit(model.apply)(jax.tree.map(turn, variables), *turned)
  assert_close(logits, whole.swapaxes(1, 2), 2e-5)


@pytest.mark.parametrize('mask_support', [True, False])
def test_support_masking_can_be_switched_off(network, mask_support):
  """The dagger variant does not look at the mask: the traced program has no use for it."""
  model, variables = network
  (query, _), (support, mask) = images(1, (32, 32)), images(1, (32, 32), seed=1)
  model = HSNet(model.backbone, mask_support=mask_support)
  jaxpr = jax.make_jaxpr(lambda m: model.apply(variables, query, support, m))(mask).jaxpr
  (argument,) = jaxpr.invars
  uses = [equation for equation in jaxpr.eqns if argument in list(equation.invars)]
  assert bool(uses) == mask_support


@pytest.fixture(scope='module')
def episodes(network):
  """Four small episodes and their logits, computed as one batch."""
  model, variables = network
  (query, _), (support, mask) = images(4, (32, 32)), images(4, (32, 32), seed=1)
  mask = mask.at[3].set(0)  # an empty mask is a counted episode
  logits = jax.jit(model.apply)(variables, query, support, mask)
  assert np.isfinite(logits).all() and np.std(logits) > 0
  return (query, support, mask), logits


@pytest.mark.parametrize(
  'mapped', [lambda *a, **k: jax.jit(jax.vmap(*a, **k)), jax.pmap], ids=['vmap', 'pmap']
)
def test_episodes_do_not_meet(network, episodes, mapped):
  model, variables = network
  operands, expected = episodes
  one = [x[:, None] for x in operands]
  logits = mapped(model.apply, in_axes=(None, 0, 0, 0))(variables, *one)
  assert_close(logits[:, 0], expected, 2e-5)


class Small(nn.Module):
  """The layers of which the learnable part consists, a few of each."""

  @nn.compact
  def __call__(self, x):
    x = Block((8, 12), (3, 3), (2, 1), name='block')(x)
    return Decoder(name='decoder')(upsample_query(x, (3, 4)).mean((3, 4)))


def test_sharded_episodes_sum_each_gradient_once():
  """Replicated parameters inside `shard_map`: what one device computes, not four times it."""
  mesh = Mesh(np.array(jax.devices()[:4]), ('data',))
  rng = np.random.default_rng(0)

  def normal(leaf):
    return jnp.asarray(rng.normal(size=leaf.shape) / 5, jnp.float32)

  x = normal(jnp.zeros((4, 2, 3, 3, 4, 2)))
  params = jax.tree.map(normal, jax.eval_shape(Small().init, jax.random.key(0), x))

  def gradients(params, x):
    return jax.grad(lambda p: (Small().apply(p, x) ** 2).sum())(params)

  specs = {'in_specs': (P(), P('data')), 'out_specs': P()}
  sharded = jax.jit(jax.shard_map(gradients, mesh=mesh, **specs, check_vma=True))
  assert_close(sharded(params, x), jax.jit(gradients)(params, x), 1e-4)
