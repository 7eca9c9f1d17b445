"""A checkpoint becomes a model of the zoo, with what its evaluations say."""

import math

import numpy as np
import pytest

from experiments.model_zoo import add_model, find_model, list_models
from experiments.model_zoo.figures import evaluation_of, heading
from experiments.model_zoo.store import path_of
from experiments.reporting.tables import table_rows, write_results
from experiments.storage.evaluations import home_of
from hsnet_jax import InputError, Segmenter, load_model
from hsnet_jax.models import digest
from hsnet_jax.weights import write_model
from hsnet_jax.weights.files import read_tensors
from tests.experiments.model_zoo.given import EVALUATION, FIGURES
from tests.made import variables

CONFIG = {
  'backbone': 'tiny',
  'benchmark': 'shapes',
  'fold': 1,
  'shots': 1,
  'image_size': 64,
  'learning_rate': 0.002,
  'lists': {'trn': 'x'},
  'step': 7,
  'epoch': 3,
  'figures': {'miou': 1.0},
}


@pytest.fixture
def checkpoint(tmp_path):
  path = tmp_path / 'a.safetensors'
  write_model(path, variables('tiny'), config=CONFIG)
  return path


def evaluated(checkpoint, name, *, figures=FIGURES, **about):
  """Leaves results beside a checkpoint, as `evaluate` does."""
  record = {key: value for key, value in EVALUATION.items() if key != 'figures'}
  record |= {'weights': digest(load_model(checkpoint).variables)[:12], 'data_dir': '/secret'}
  columns = {'first 3': {'miou': 1.0}, 'all 250': figures}
  folder = home_of(checkpoint) / name
  write_results(folder, columns=columns, about=record | about, episodes='')
  return folder


def test_what_is_added_is_the_network_and_its_record(tmp_path, checkpoint):
  zoo = tmp_path / 'zoo'
  entry = add_model(zoo, 'dogs', checkpoint, license='mit', limits='cats')
  assert entry == find_model(zoo, 'dogs') and entry.evaluations == ()
  config = {key: x for key, x in CONFIG.items() if key not in ('epoch', 'figures')}
  assert (entry.config, entry.license, entry.limits) == (config, 'mit', 'cats')
  assert entry.source == 'trained on shapes fold 1, step 7'
  path = path_of(zoo, entry)
  assert load_model(path).config == config
  first, again = read_tensors(checkpoint), read_tensors(path)
  assert {k: x.tobytes() for k, x in first.items()} == {k: x.tobytes() for k, x in again.items()}
  assert path.stat().st_size == entry.size


def test_evaluations_of_these_weights_are_taken(tmp_path, checkpoint):
  evaluated(checkpoint, '5shot', shots=5)
  evaluated(checkpoint, 'few', episodes=10, figures={'miou': 50.0, 'auc': math.nan})
  evaluated(checkpoint, '1shot')
  evaluated(checkpoint, 'other', weights='0' * 12)
  evaluated(checkpoint, 'prototype', model='prototype')
  (home_of(checkpoint) / 'broken').mkdir()
  (home_of(checkpoint) / 'broken' / 'results.json').write_text('{')
  entry = add_model(tmp_path / 'zoo', 'dogs', checkpoint)
  which = [(one['shots'], one['episodes']) for one in entry.evaluations]
  assert which == [(1, 250), (1, 10), (5, 250)]
  assert entry.evaluations[0] == EVALUATION
  assert entry.evaluations[1]['figures'] == {'miou': 50.0}
  assert list_models(tmp_path / 'zoo')[1][5:8] == (60.25, 58.5, 62.0)
  assert '/secret' not in str(find_model(tmp_path / 'zoo', 'dogs'))


def test_results_may_be_named(tmp_path, checkpoint):
  other = evaluated(checkpoint, 'other', weights='0' * 12)
  five = evaluated(checkpoint, '5shot', shots=5)
  evaluated(checkpoint, '1shot')
  for number, results in enumerate((five, five / 'results.json')):
    entry = add_model(tmp_path / 'zoo', f'dogs-{number}', checkpoint, results=results)
    assert [one['shots'] for one in entry.evaluations] == [5]
  for results, words in ((other, 'of other weights, 0'), (tmp_path / 'none', 'cannot be read')):
    with pytest.raises(InputError, match=words):
      add_model(tmp_path / 'zoo', 'cats', checkpoint, results=results)
  (tmp_path / 'results.json').write_text('[]')
  with pytest.raises(InputError, match='no results of `evaluate`'):
    add_model(tmp_path / 'zoo', 'cats', checkpoint, results=tmp_path)
  assert [one.name for one in list_models(tmp_path / 'zoo')] == ['photos', 'dogs-0', 'dogs-1']


def test_the_supports_of_a_segmenter_stay_out(tmp_path, checkpoint):
  """They are somebody's pictures, and a model of the zoo may be pushed."""
  image, mask = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), np.uint8)
  mask[10:30, 10:30] = 1
  Segmenter.from_pretrained(checkpoint).fit([image], [mask]).save(tmp_path / 'f.safetensors')
  entry = add_model(tmp_path / 'zoo', 'dogs', tmp_path / 'f.safetensors')
  assert 'support_classes' not in entry.config
  stored = path_of(tmp_path / 'zoo', entry)
  assert not [name for name in read_tensors(stored) if name.startswith('beside')]
  with pytest.raises(InputError, match='without supports'):
    Segmenter.load(stored)


def test_what_cannot_be_added_leaves_nothing(tmp_path, checkpoint):
  for name, source, words in (
    ('dogs', None, '`checkpoint` is missing'),
    ('dogs', tmp_path / 'none', 'no such checkpoint'),
    ('Dogs', checkpoint, 'a name has'),
    ('photos', checkpoint, 'comes with the package'),
  ):
    with pytest.raises(InputError, match=words):
      add_model(tmp_path / 'zoo', name, source)
  with pytest.raises(InputError, match='`limits` must be one line'):
    add_model(tmp_path / 'zoo', 'dogs', checkpoint, limits='a\nb')
  assert [one.name for one in list_models(tmp_path / 'zoo')] == ['photos']
  assert not list((tmp_path / 'zoo' / 'models').iterdir())


def test_results_of_the_zoos_models_stay_out_of_the_zoo(tmp_path, checkpoint, monkeypatch):
  monkeypatch.setenv('HSNET_ZOO', str(tmp_path / 'zoo'))
  add_model(tmp_path / 'zoo', 'dogs', checkpoint)
  home = home_of(load_model('dogs').path)
  assert home.parts[0] == 'runs' and home.name.startswith('dogs-')


@pytest.mark.parametrize(
  'change',
  [
    {'miou': '60'},
    {'miou': [1, 2]},
    {'miou': True},
    {'miou': 10**400},
    {'miou': math.nan},
    {'miou_interval': [1.0]},
    {'miou_interval': [1.0, None]},
    {'class_iou': [1.0]},
    {'class_iou': {'star': 'x'}},
    {'class_iou_interval': {'star': [1.0]}},
    {'class_episodes': 3},
    {'unknown': 3.0},
  ],
)
def test_of_a_strangers_figures_only_sound_ones_are_taken(change):
  found = evaluation_of({**EVALUATION, 'absent': 'x', 'figures': {'auc': 90.0, **change}})
  rows = table_rows({heading(found): found['figures']})
  assert ['AUC', '90.00'] in rows and len(rows) == 2
  assert 'absent' not in found and found['fold'] == 1


def test_what_has_no_figure_is_no_evaluation():
  for record in ({}, {'figures': 3}, {'figures': {}}, {'results': {}}, {'results': {'all': 3}}):
    assert evaluation_of(record) is None
