"""Published weights in and out: every bit and every name."""

import json

import jax
import numpy as np
import pytest

from hsnet_jax.backbones import BACKBONES
from hsnet_jax.errors import InputError
from hsnet_jax.model import HSNet
from hsnet_jax.weights.convert import from_torch, to_torch
from hsnet_jax.weights.names import detect_backbone, hsnet_tensors, is_unused
from tests.golden_recipe import weight
from tests.made import tensors as tensors_of

PUBLISHED = ('vgg16', 'resnet50', 'resnet101')
LEARNABLE = {'vgg16': 2_570_018, 'resnet50': 2_573_794, 'resnet101': 2_587_394}
CLASSIFIER = ('backbone.fc.', 'backbone.classifier.')


def published_shapes(golden, backbone):
  shapes = json.loads((golden / f'state_dict_{backbone}.json').read_text())
  return {name: tuple(shape) for name, shape in shapes.items()}


def published(golden, backbone):
  """A published state dict; the classifier's hundred megabytes are left as zeros."""
  return {
    name: np.zeros(shape, np.float32) if name.startswith(CLASSIFIER) else weight(name, shape)
    for name, shape in published_shapes(golden, backbone).items()
  }


@pytest.mark.parametrize('backbone', PUBLISHED)
def test_names_and_shapes_are_the_published_ones(golden, backbone):
  used = {n: s for n, s in published_shapes(golden, backbone).items() if not is_unused(n)}
  table = hsnet_tensors(backbone)
  assert {name: tensor.shape for name, tensor in table.items()} == used
  learnable = [tensor.shape for tensor in table.values() if tensor.path[0] == 'params']
  assert sum(int(np.prod(shape)) for shape in learnable) == LEARNABLE[backbone]


# Of a family whose networks differ in depth and width alone, one; all of them where time is.
ONE_OF_A_FAMILY = ('vgg16', 'resnet50', 'mobilenet_v1_075', 'efficientnet_lite0', 'tiny')


@pytest.mark.parametrize(
  'backbone',
  [
    pytest.param(name, marks=[] if name in ONE_OF_A_FAMILY else [pytest.mark.heavy])
    for name in BACKBONES
  ],
)
def test_trees_are_those_of_the_network(backbone):
  """And conversions can be traced: nothing is computed here."""
  image = jax.ShapeDtypeStruct((1, 128, 128, 3), np.float32)
  mask = jax.ShapeDtypeStruct((1, 128, 128), np.float32)
  shapes = jax.eval_shape(HSNet(backbone).init, jax.random.key(0), image, image, mask)
  tensors = {
    name: jax.ShapeDtypeStruct(tensor.shape, np.float32)
    for name, tensor in hsnet_tensors(backbone).items()
  }
  variables = jax.eval_shape(lambda t: from_torch(t, backbone=backbone), tensors)
  assert variables == {name: dict(tree) for name, tree in shapes.items()}
  back = jax.eval_shape(lambda v: to_torch(v, backbone=backbone), variables)
  assert back == tensors


@pytest.mark.parametrize(
  ('backbone', 'prefix'),
  [
    ('vgg16', 'module.'),
    ('resnet50', 'module.'),
    pytest.param('resnet101', '', marks=pytest.mark.heavy),
  ],
)
def test_a_state_dict_there_and_back_is_bit_equal(golden, backbone, prefix):
  state_dict = published(golden, backbone)
  variables = from_torch(
    {prefix + name: value for name, value in state_dict.items()}, backbone=backbone
  )
  back = to_torch(variables, backbone=backbone)
  assert set(back) == {name for name in state_dict if not is_unused(name)}
  for name, value in back.items():
    assert type(value) is np.ndarray and value.flags.c_contiguous and value.flags.writeable
    assert value.dtype == state_dict[name].dtype
    assert value.tobytes() == state_dict[name].tobytes(), name


def test_kernels_land_where_the_layer_reads_them():
  """One tensor of each kind, by hand: a wrong transposition would also survive a round trip."""
  tensors = tensors_of('tiny')
  variables = from_torch(tensors, backbone='tiny')
  name = 'hpn_learner.encoder_layer3.3.conv2.weight'
  kernel = variables['params']['encoder']['squeeze3']['conv1']['support_kernel']
  assert kernel[2, 0, 5, 7] == tensors[name][7, 5, 2, 0]
  kernel = variables['params']['decoder']['conv3']['kernel']
  assert kernel[0, 2, 5, 1] == tensors['hpn_learner.decoder2.2.weight'][1, 5, 0, 2]
  norm = variables['params']['encoder']['mix4to3']['norm2']['bias']
  np.testing.assert_array_equal(norm, tensors['hpn_learner.encoder_layer4to3.7.bias'])
  norm = variables['backbone']['layer1']['0']['bn1']['var']
  np.testing.assert_array_equal(norm, tensors['backbone.layer1.0.bn1.running_var'])
  depthwise = to_torch(
    {
      'backbone': from_torch(tensors_of('mobilenet_v1_075'), backbone='mobilenet_v1_075')[
        'backbone'
      ]
    },
    backbone='mobilenet_v1_075',
  )['backbone.conv_dw_3.weight']
  assert depthwise.shape == (96, 1, 3, 3)


@pytest.mark.parametrize('backbone', ['mobilenet_v1_075', 'efficientnet_lite0', 'tiny'])
def test_own_backbones_convert_too(backbone):
  tensors = tensors_of(backbone)
  back = to_torch(from_torch(tensors, backbone=backbone), backbone=backbone)
  assert all(back[name].tobytes() == tensors[name].tobytes() for name in tensors)
  assert set(back) == set(tensors)


def test_gradients_convert_as_their_parameters():
  variables = from_torch(tensors_of('tiny'), backbone='tiny')
  gradients = jax.tree.map(lambda x: 2 * np.asarray(x), variables['params'])
  named = to_torch({'params': gradients}, backbone='tiny')
  expected = tensors_of('tiny')
  assert set(named) == {name for name in expected if name.startswith('hpn_learner.')}
  for name, value in named.items():
    np.testing.assert_array_equal(value, 2 * expected[name])


def test_every_name_is_accounted_for():
  tensors = tensors_of('tiny')
  tensors.pop('hpn_learner.decoder1.0.bias')
  tensors.pop('backbone.bn1.running_var')
  tensors['backbone.extra.weight'] = np.zeros(3, np.float32)
  tensors['hpn_learner.fc.weight'] = np.zeros(3, np.float32)
  tensors['hpn_learner.decoder2.2.bias'] = np.zeros(3, np.float32)
  with pytest.raises(InputError) as error:
    from_torch(tensors, backbone='tiny')
  message = str(error.value)
  assert 'missing: backbone.bn1.running_var, hpn_learner.decoder1.0.bias' in message
  assert 'unexpected: backbone.extra.weight, hpn_learner.fc.weight' in message
  assert 'wrong shape: hpn_learner.decoder2.2.bias ([3] instead of [2])' in message
  assert '\n' not in message


@pytest.mark.parametrize(
  'name',
  [
    'backbone.fc.weight',
    'backbone.classifier.6.bias',
    'backbone.pre_logits.fc1.weight',
    'backbone.head.fc.weight',
    'backbone.bn1.num_batches_tracked',
    'module.backbone.fc.bias',
  ],
)
def test_classifiers_and_step_counts_may_be_there(name):
  tensors = {**tensors_of('tiny'), name: np.zeros((), np.int64)}
  assert set(from_torch(tensors, backbone='tiny')) == {'params', 'backbone'}


def test_a_wrong_file_has_all_its_names_listed():
  names = [f'backbone.other.{i}' for i in range(90)]
  tensors = tensors_of('tiny') | dict.fromkeys(names, np.zeros(1, np.float32))
  with pytest.raises(InputError, match='unexpected: ' + ', '.join(names) + '$'):
    from_torch(tensors, backbone='tiny')


def test_another_backbone_is_named(golden):
  with pytest.raises(InputError, match='tiny.*vgg16'):
    from_torch(tensors_of('tiny'), backbone='vgg16')
  shapes = {'module.' + n: s for n, s in published_shapes(golden, 'resnet101').items()}
  assert detect_backbone(shapes) == 'resnet101'
  shapes.pop('module.hpn_learner.decoder2.2.bias')
  assert detect_backbone(shapes) is None


def test_doubled_names_and_numbers_that_are_no_weights():
  tensors = tensors_of('tiny')
  bias = 'hpn_learner.decoder2.2.bias'
  with pytest.raises(InputError, match='decoder2.2.bias twice'):
    from_torch({**tensors, f'module.{bias}': tensors[bias]}, backbone='tiny')
  with pytest.raises(InputError, match=r'decoder2\.2\.bias.*int32'):
    from_torch({**tensors, bias: np.zeros(2, np.int32)}, backbone='tiny')
  with pytest.raises(InputError, match='unknown backbone'):
    from_torch(tensors, backbone='resnet18')


def test_trees_that_do_not_fit_are_listed():
  variables = from_torch(tensors_of('tiny'), backbone='tiny')
  variables['params']['decoder']['conv0'].pop('bias')
  variables['params']['decoder']['conv9'] = {'kernel': np.zeros((3, 3, 1, 1))}
  variables['params']['decoder']['conv1']['kernel'] = np.zeros((3, 3, 1, 1))
  with pytest.raises(InputError) as error:
    to_torch(variables, backbone='tiny')
  for name in ('decoder1.0.bias', 'params/decoder/conv9/kernel', 'decoder1.2.weight'):
    assert name in str(error.value)
  with pytest.raises(InputError, match="neither 'params' nor 'backbone'"):
    to_torch(variables['params'], backbone='tiny')


def test_half_precision_becomes_float32():
  tensors = {name: value.astype(np.float16) for name, value in tensors_of('tiny').items()}
  variables = from_torch(tensors, backbone='tiny')
  assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype(np.float32)}
