"""Where evaluations go, by what they are of."""

from pathlib import Path

import pytest

from experiments.storage import results
from experiments.storage.evaluations import FILES, free_folder, home_of, name_of
from hsnet_jax.models import packaged_path

USUAL = {
  'checkpoint_name': 'best',
  'episodes': 1000,
  'image_size': 400,
  'precision': 'float32',
  'protocol': 'published',
  'split': 'val',
}
ABOUT = {'model': 'hsnet', 'benchmark': 'pascal', 'fold': 0, 'shots': 1, 'original_size': False}


@pytest.mark.parametrize(
  'changes, name',
  [
    ({}, 'hsnet-pascal-fold0-1shot'),
    ({'fold': 2, 'shots': 5, 'model': 'prototype'}, 'prototype-pascal-fold2-5shot'),
    ({'checkpoint_name': 'last'}, 'hsnet-pascal-fold0-1shot-last'),
    ({'episodes': 250}, 'hsnet-pascal-fold0-1shot-250episodes'),
    ({'image_size': 200}, 'hsnet-pascal-fold0-1shot-200px'),
    ({'precision': 'bfloat16'}, 'hsnet-pascal-fold0-1shot-bfloat16'),
    ({'protocol': 'distinct'}, 'hsnet-pascal-fold0-1shot-distinct'),
    ({'split': 'test'}, 'hsnet-pascal-fold0-1shot-test'),
    (
      {'original_size': True, 'episodes': 20, 'checkpoint_name': 'step_00000120'},
      'hsnet-pascal-fold0-1shot-original_size-step_00000120-20episodes',
    ),
  ],
)
def test_a_name_tells_what_is_not_as_usual(changes, name):
  assert name_of({**ABOUT, **USUAL, **changes}, usual=USUAL) == name


@pytest.mark.parametrize(
  'checkpoint, home',
  [
    ('runs/a/checkpoints/best', 'runs/a/evaluation'),
    ('runs/a/checkpoints/step_00000120', 'runs/a/evaluation'),
    ('converted/fold0', 'converted/fold0-evaluation'),
    ('checkpoints/pascal-fold0', 'checkpoints/pascal-fold0-evaluation'),
  ],
)
def test_a_checkpoint_of_no_run_has_a_home_of_its_own(checkpoint, home):
  assert home_of(Path(checkpoint)) == Path(home)


def test_a_model_in_a_file_has_a_home_beside_it_or_among_the_runs():
  assert home_of(Path('a/m.safetensors')) == Path('a/m-evaluation')
  assert home_of(packaged_path('photos')) == Path('runs/photos-evaluation')


def test_episodes_without_the_object_are_told():
  about = {**ABOUT, **USUAL, 'absent': 0.5}
  assert name_of(about, usual=USUAL) == 'hsnet-pascal-fold0-1shot-absent0.5'


def test_another_margin_of_supports_than_usual_is_told():
  about = {**ABOUT, **USUAL, 'support_margin': 0.1}
  assert name_of(about, usual=USUAL) == 'hsnet-pascal-fold0-1shot-margin0.1'
  usual = {**USUAL, 'support_margin': 0.1}
  assert name_of(about, usual=usual) == 'hsnet-pascal-fold0-1shot'
  assert name_of({**ABOUT, **USUAL}, usual=usual) == 'hsnet-pascal-fold0-1shot-whole'


def test_another_combination_of_shots_is_told():
  about = {**ABOUT, **USUAL, 'combine': 'mean', 'shots': 5}
  assert name_of(about, usual=USUAL) == 'hsnet-pascal-fold0-5shot-mean'
  assert name_of(about, usual={**USUAL, 'combine': 'mean'}) == 'hsnet-pascal-fold0-5shot'
  assert name_of({**about, 'shots': 1}, usual=USUAL) == 'hsnet-pascal-fold0-1shot'


def test_a_folder_is_free_for_the_very_same_alone(tmp_path):
  folder, of = tmp_path / 'v1.0', {'step': 3}
  assert free_folder(folder, of=of) == folder
  folder.mkdir()
  (folder / 'notes.txt').write_text('mine')
  assert free_folder(folder, of=of) == folder
  (folder / FILES[0]).write_text('{}')
  results.mark(folder / FILES[0], of=of)
  assert free_folder(folder, of=of) == folder
  assert free_folder(folder, of={'step': 4}) == tmp_path / 'v1.0-2'
  (folder / FILES[0]).write_text('{"checked": "by Ann"}')
  assert free_folder(folder, of=of) == tmp_path / 'v1.0-2'
