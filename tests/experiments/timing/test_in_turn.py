"""Sides of a comparison as real processes on made episodes; the seconds are nobody's test."""

import json

import jax
import numpy as np
import pytest

from experiments.timing.in_turn import Compared, compare, load_episodes, random_weights
from experiments.timing.peer import forward
from experiments.timing.sides import Task
from hsnet_jax.backbones import get_backbone
from hsnet_jax.errors import InputError
from hsnet_jax.model import HSNet
from hsnet_jax.weights.convert import from_torch
from tests import golden_recipe, made


@pytest.mark.heavy  # Each side compiles.
@pytest.mark.parametrize('forms', [('auto',), ('auto', 'plain')], ids=len)
def test_sides_answer_on_the_same_episodes(forms):
  episodes = load_episodes(
    None,
    splits_dir=None,
    fold=0,
    backbone='tiny',
    image_size=32,
    batch_size=1,
    shots=1,
    count=1,
  )
  assert episodes['query'].shape == (1, 1, 32, 32, 3)
  assert episodes['support'].shape == (1, 1, 1, 32, 32, 3)
  assert set(np.unique(episodes['support_mask'])) == {0, 1}
  levels = get_backbone('tiny').levels
  tasks = {form: Task('library', 'forward', 'tiny', levels, implementation=form) for form in forms}
  found = compare(tasks, episodes, rounds=1)
  for form in forms:  # The process that is timed reads what the one before it compiled.
    assert 0 < found.peak[form] < found.first[form]
    assert 0 < found.programs[form]['outputs'] < found.programs[form]['arguments']
  assert set(found.seconds) == {*forms}
  assert all(len(s) == 1 and s[0] > 0 for s in found.seconds.values())


def test_ratios_are_those_of_each_round():
  found = Compared({'a': [1.0, 2.0], 'b': [3.0, 5.0]}, {'a': 0, 'b': 0}, {}, {})
  assert found.ratios('a', 'b') == [3.0, 2.5]


@pytest.mark.heavy  # Starts a side.
def test_a_side_that_ends_is_named(capfd):
  task = Task('library', 'forward', 'tiny', (1,), implementation='none of these')
  empty = {'query': np.zeros((1, 1, 32, 32, 3), np.float32)}
  with pytest.raises(InputError):
    compare({'library': task}, empty, rounds=1)
  assert capfd.readouterr().err


def test_weights_have_the_published_names():
  shapes = {name: value.shape for name, value in random_weights('tiny').items()}
  assert shapes['hpn_learner.decoder2.2.weight'] == (2, 64, 3, 3)


@pytest.mark.parametrize('name', ['resnet50', 'resnet101'])
def test_the_peer_is_the_published_network(golden, name):
  torch = pytest.importorskip('torch')
  shapes = json.loads((golden / f'state_dict_{name}.json').read_text(encoding='utf-8'))
  state = {
    key: torch.from_numpy(golden_recipe.weight(key, tuple(shape))) for key, shape in shapes.items()
  }
  with np.load(golden / f'hsnet_{name}.npz') as data:
    query, support, mask = (
      torch.from_numpy(data[key]).float() for key in ('query', 'support', 'support_mask')
    )
    expected = data['logits']
  levels = get_backbone(name).levels
  logits = forward(state, query, support, mask, backbone=name, levels=levels)
  np.testing.assert_allclose(logits[:, :, ::4, ::4], expected, rtol=0, atol=1e-5)


def test_the_peer_s_mobilenet_is_the_library_s():
  torch = pytest.importorskip('torch')
  name = 'mobilenet_v1_075'
  state = random_weights(name)
  variables = from_torch(state, backbone=name)
  query, support = made.normal((1, 70, 64, 3), (1, 70, 64, 3))
  mask = np.ones((1, 70, 64), np.float32)
  expected = jax.jit(HSNet(name).apply)(variables, query, support, mask)
  tensors = {key: torch.from_numpy(np.array(value)) for key, value in state.items()}
  images = [torch.from_numpy(np.moveaxis(np.array(x), -1, 1)) for x in (query, support)]
  levels = get_backbone(name).levels
  logits = forward(tensors, *images, torch.from_numpy(mask), backbone=name, levels=levels)
  made.assert_close(np.moveaxis(logits.numpy(), 1, -1), np.asarray(expected))
