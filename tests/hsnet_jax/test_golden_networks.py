"""The published network's own numbers: forward, gradients, and four steps of Adam."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hsnet_jax.model import HSNet
from hsnet_jax.training.losses import cross_entropy
from hsnet_jax.weights.convert import to_torch
from tests import made

# One runs always.
NETWORKS = (
  'resnet50',
  *(pytest.param(name, marks=pytest.mark.heavy) for name in ('vgg16', 'resnet101')),
)
LOSS_TOLERANCES = (1e-4, 1e-4, 1e-3, 2e-2)

# ReLUs whose input is so near to 0 (below 3e-6 in float64, where float32 leaves 7e-7 of rounding,
# 5e-6 at worst) that chance decides whether they pass a gradient: layer, unit, input in float64,
# and the side on which the published run had it. Twice that is not float64's. With VGG-16's one
# unit on float64's side, 73 of 98 gradient norms differ by more than 1e-5 (at most by 1.3e-3), and
# Adam's first step makes 1.13e-4 of it in the second loss; with it on the published side, float64
# has all norms within 6e-6 and all four losses within 2e-7. Likewise ResNet-50: 1.4e-3, and 8e-6.
UNDECIDED = {
  'vgg16': (
    ('encoder/mix3to2/norm1', (1, 6, 0, 0, 0, 77), 2.9e-7, -1),
    ('decoder/conv0', (1, 7, 6, 95), -1.04e-6, -1),
  ),
  'resnet50': (
    ('encoder/mix3to2/norm2', (1, 10, 8, 0, 0, 79), 6.4e-7, -1),
    ('encoder/mix3to2/norm2', (0, 12, 7, 0, 0, 0), -1.54e-6, -1),
  ),
  'resnet101': (
    ('encoder/mix3to2/norm0', (0, 10, 2, 0, 0, 66), 1.66e-6, 1),
    ('encoder/mix3to2/norm1', (0, 12, 10, 0, 0, 40), -2.66e-6, -1),
    ('decoder/conv2', (0, 9, 19, 43), 2.59e-6, 1),
  ),
}
PUSH = 8e-6  # puts a unit on its published side, whatever the rounding


@dataclasses.dataclass
class Run:
  """A network's golden file, the same network here, and what it computed."""

  name: str
  data: dict
  variables: dict
  inputs: tuple
  outputs: dict


def forward(name, variables, query, support, mask):
  """Everything the golden file has of a forward pass, in one compiled function."""
  model = HSNet(name)
  seen = {}

  def watch(call, args, kwargs, context):
    out = call(*args, **kwargs)
    if context.module.name == 'encoder':
      seen['pyramid'] = [level.correlate() for level in args[0]]
    elif context.module.name == 'decoder':
      seen['decoder_logits'] = out
    elif context.method_name == 'encode':
      seen['features'] = out
    return out

  with nn.intercept_methods(watch):
    logits = model.apply(variables, query, support, mask)
  count = len(query)
  apart = [tuple(f[part] for f in seen['features']) for part in (np.s_[:count], np.s_[count:])]
  unmasked = HSNet(name, mask_support=False).apply(variables, *apart, mask, method='match')
  return {
    'logits': logits,
    'decoder_logits': seen['decoder_logits'],
    'decoder_logits_nomask': unmasked,
    'query_features': apart[0],
    'support_features': apart[1],
    'corr_sums': [level.sum((0, 1, 2, 3, 4)) for level in seen['pyramid']],
  }


def load(golden, name):
  """A golden file, and its query, support and mask as the network takes them."""
  with np.load(golden / f'hsnet_{name}.npz') as file:
    data = dict(file)
  images = [jnp.asarray(data[k].transpose(0, 2, 3, 1), jnp.float32) for k in ('query', 'support')]
  return data, (*images, jnp.asarray(data['support_mask']))


@pytest.fixture(scope='module', params=NETWORKS)
def run(request, golden):
  data, inputs = load(golden, request.param)
  variables = made.variables(request.param)
  outputs = jax.jit(forward, static_argnums=0)(request.param, variables, *inputs)
  return Run(request.param, data, variables, inputs, jax.device_get(outputs))


def nchw(x):
  return np.moveaxis(x, -1, 1)


def test_features(run):
  features = run.outputs['query_features']
  assert [nchw(f).shape for f in features] == [tuple(s) for s in run.data['feature_shapes']]
  absolute = run.data['feature_absmean']
  np.testing.assert_allclose([np.abs(f).mean() for f in features], absolute, rtol=1e-5)
  means = np.array([f.mean(dtype=np.float64) for f in features])
  assert (np.abs(means - run.data['feature_mean']) <= 1e-5 * absolute).all()


def test_correlations(run):
  sums = np.concatenate(run.outputs['corr_sums'])
  np.testing.assert_allclose(sums, run.data['corr_sums'], rtol=1e-5)


@pytest.mark.parametrize('name', ['decoder_logits', 'decoder_logits_nomask'])
def test_decoder_logits(run, name):
  np.testing.assert_allclose(nchw(run.outputs[name]), run.data[name], rtol=0, atol=1e-4)


def assert_logits_and_masks(logits, data):
  np.testing.assert_allclose(nchw(logits)[:, :, ::4, ::4], data['logits'], rtol=0, atol=1e-4)
  margin = logits[..., 1] - logits[..., 0]
  published = np.unpackbits(data['prediction'])[: margin.size].reshape(margin.shape)
  clear = np.abs(margin) > 2e-4
  np.testing.assert_array_equal((margin > 0)[clear], published[clear])
  assert clear.mean() > 0.99


def test_logits_and_masks(run):
  assert_logits_and_masks(run.outputs['logits'], run.data)


@pytest.fixture
def as_users_compile():
  """With the optimizations that `tests/conftest.py` leaves out."""
  before = jax.config.read('jax_disable_most_optimizations')
  jax.config.update('jax_disable_most_optimizations', False)
  yield
  jax.config.update('jax_disable_most_optimizations', before)


@pytest.mark.heavy
def test_the_program_that_users_run(golden, as_users_compile):
  data, inputs = load(golden, 'resnet50')
  # A function of its own: JAX would find the program of another test again.
  compiled = jax.jit(lambda *operands: HSNet('resnet50').apply(*operands))
  logits = compiled(made.variables('resnet50'), *inputs)
  assert_logits_and_masks(jax.device_get(logits), data)


def push(units, amount, seen):
  """Adds `amount` to the ReLU inputs `units`, toward their side, and keeps what was there."""

  def intercept(call, args, kwargs, context):
    out = call(*args, **kwargs)
    for layer, unit, _, side in units:
      if '/'.join(context.module.path) == layer and context.method_name == '__call__':
        seen.append((layer, unit, out[unit]))
        out = out.at[unit].add(side * amount)
    return out

  return intercept


@functools.cache
def compiled_gradient(name):
  """`(params, features, mask, target, amount) -> (loss, inputs of UNDECIDED), gradients`."""

  def loss(params, features, mask, target, amount):
    seen = []
    with nn.intercept_methods(push(UNDECIDED[name], amount, seen)):
      options = {'output_size': target.shape[1:], 'method': 'match'}
      logits = HSNet(name).apply({'params': params}, *features, mask, **options)
    order = {unit: value for _, unit, value in seen}
    return cross_entropy(logits, target).mean(), [order[unit] for _, unit, *_ in UNDECIDED[name]]

  return jax.jit(jax.value_and_grad(loss, has_aux=True))


@functools.cache
def compiled_update():
  return jax.jit(optax.adam(1e-3).update)


def train(run, amount):
  """Losses of four Adam steps, the first gradients, the parameters after, the undecided inputs."""
  features = run.outputs['query_features'], run.outputs['support_features']
  operands = features, run.inputs[2], jnp.asarray(run.data['gt'])
  params = run.variables['params']
  state, losses, first = optax.adam(1e-3).init(params), [], None
  for step in range(4):
    (loss, inputs), gradients = compiled_gradient(run.name)(
      params, *operands, jnp.float32(0 if step else amount)
    )
    losses.append(float(loss))
    first = first or (gradients, inputs)
    updates, state = compiled_update()(gradients, state)
    params = optax.apply_updates(params, updates)
  return losses, first[0], params, first[1]


@pytest.fixture(scope='module')
def training(run):
  """Four steps whose first has the undecided ReLUs on the published side."""
  return train(run, PUSH)


def norms(run, tree):
  """Norm of each parameter (or its gradient), in the golden file's order."""
  named = to_torch({'params': jax.device_get(tree)}, backbone=run.name)
  names = [str(name) for name in run.data['param_names']]
  assert set(names) == set(named)
  return np.array([np.linalg.norm(named[name].astype(np.float64)) for name in names])


def test_first_gradients(run, training):
  # 5e-3 would do, but one ReLU on the other side is seen only here.
  np.testing.assert_allclose(norms(run, training[1]), run.data['grad_norms'], rtol=1e-4)


def test_losses_of_four_adam_steps(run, training):
  errors = np.abs(np.array(training[0]) / run.data['losses'] - 1)
  assert (errors <= LOSS_TOLERANCES).all(), errors


def test_parameters_after_four_adam_steps(run, training):
  np.testing.assert_allclose(norms(run, training[2]), run.data['param_norms_after'], rtol=1e-3)


def test_undecided_units_are_within_rounding_of_float64(run, training):
  """The push must move units that rounding decides, not hide an error."""
  for (*unit, exact, _), value in zip(UNDECIDED[run.name], training[3], strict=True):
    assert abs(exact) < 3e-6 and abs(float(value) - exact) < 5e-6, (unit, value)


def test_training_as_rounding_has_it(run):
  """Nothing pushed: a unit on its other side costs VGG-16 up to 7e-4 in the second loss."""
  losses, gradients, _, inputs = train(run, 0)
  published = [side for *_, side in UNDECIDED[run.name]]
  decided = [float(np.sign(value)) for value in inputs] == published
  loose = run.name == 'vgg16' and not decided
  expected = run.data['grad_norms']
  np.testing.assert_allclose(norms(run, gradients), expected, rtol=6e-3 if loose else 5e-3)
  errors = np.abs(np.array(losses) / run.data['losses'] - 1)
  tolerances = np.array(LOSS_TOLERANCES)
  if loose:
    tolerances[1] = 1e-3
  assert (errors <= tolerances).all(), errors
