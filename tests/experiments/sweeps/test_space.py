"""Space files: what is read, what is refused, what is drawn."""

import math
import pathlib
import re

import numpy as np
import pytest

from experiments.sweeps.space import Domain, Space, check_space, draw, flag_text, read_space
from hsnet_jax.errors import InputError

GOOD = """
[train]
fold = 1
random_backbone = true

[space]
learning_rate = {log_uniform = [1e-4, 1e-2]}
weight_decay = {uniform = [0, 0.1]}
augment = {choice = ['none', 'flip']}
seed = {integer = [0, 2]}
"""


@pytest.fixture
def space_file(tmp_path):
  """Writes a space file."""

  def write(text):
    path = tmp_path / 'space.toml'
    path.write_text(text)
    return path

  return write


def test_reads_both_tables(space_file):
  space = read_space(space_file(GOOD))
  assert space.fixed == {'fold': 1, 'random_backbone': True}
  assert space.domains == {
    'learning_rate': Domain('log_uniform', (1e-4, 1e-2)),
    'weight_decay': Domain('uniform', (0.0, 0.1)),
    'augment': Domain('choice', ('none', 'flip')),
    'seed': Domain('integer', (0, 2)),
  }
  assert space.record()['space']['seed'] == {'integer': [0, 2]}


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('[space', ''),
    ('[train]\nfold = 1', '[space]'),
    ('[space]\n', '[space]'),
    ('[spaces]\na = 1', 'spaces'),
    ('[space]\nclip = {normal = [0, 1]}', 'space.clip'),
    ('[space]\nclip = [0, 1]', 'space.clip'),
    ('[space]\nclip = {uniform = [0, 1], choice = [1]}', 'space.clip'),
    ('[space]\nclip = {uniform = [1, 0]}', 'space.clip: the lower bound 1'),
    ('[space]\nclip = {uniform = [1, 1]}', 'space.clip: the lower bound 1'),
    ('[space]\nclip = {uniform = [0, 1, 2]}', 'space.clip: uniform'),
    ("[space]\nclip = {uniform = ['0', '1']}", 'space.clip: uniform'),
    ('[space]\nclip = {uniform = [0, inf]}', 'space.clip: uniform'),
    ('[space]\nseed = {integer = [0, 1.5]}', 'space.seed: integer'),
    ('[space]\nclip = {log_uniform = [0, 1]}', 'space.clip: log_uniform'),
    ('[space]\nclip = {choice = []}', 'space.clip: choice'),
    ('[space]\nclip = {choice = [1, 1]}', 'space.clip'),
    ('[train]\nclip = [1]\n[space]\nseed = {integer = [0, 1]}', 'train.clip'),
    ('[train]\nclip = 1\n[space]\nclip = {uniform = [0, 1]}', 'clip'),
    ('[space]\nrun_dir = {choice = ["a", "b"]}', 'run_dir'),
    ('[space]\nconnect_seconds = {integer = [1, 9]}', 'connect_seconds is for several'),
    ('[train]\nheartbeat_seconds = 9\n[space]\nseed = {integer = [0, 1]}', 'heartbeat_seconds'),
    ('[train]\noverwrite = true\n[space]\nclip = {uniform = [0, 1]}', 'overwrite'),
  ],
)
def test_what_is_wrong_is_named(space_file, text, message):
  path = space_file(text)
  with pytest.raises(InputError, match=re.escape(f'{path}: ') + '.*' + re.escape(message)):
    read_space(path)


def test_a_missing_file_is_named(tmp_path):
  with pytest.raises(InputError, match='none.toml'):
    read_space(tmp_path / 'none.toml')


def space_of(train=None, **choices):
  domains = {name: Domain('choice', tuple(values)) for name, values in choices.items()}
  return Space(pathlib.Path('space.toml'), train or {}, domains)


@pytest.mark.parametrize(
  'train, choices',
  [
    ({'fold': 1, 'random_backbone': True, 'backbone': 'tiny'}, {'weight_decay': [0, 0.1]}),
    ({'fold': '1', 'random_backbone': 'true'}, {'augment': ['none', 'flip']}),
  ],
)
def test_what_a_run_may_be_told_is_taken(train, choices):
  check_space(space_of(train, **choices))


@pytest.mark.parametrize(
  'train, choices, where',
  [
    ({'learningrate': 0.1}, {}, 'train.learningrate'),
    ({'verbosity': 0}, {}, 'train.verbosity'),  # A flag of absl, not of the command.
    ({}, {'augment': ['none', 'flop']}, 'space.augment: flop: .*geometric'),
    ({}, {'learning_rate': [1.0, -1.0]}, 'space.learning_rate: -1.0'),
    ({'batch_size': 2.0}, {}, 'train.batch_size: 2.0'),
    ({'mask_support': 'maybe'}, {}, 'train.mask_support: maybe'),
    ({'random_backbone': True, 'backbone_weights': 'a.npz'}, {}, '.*`backbone_weights` exclude'),
    ({'random_backbone': True}, {'backbone_weights': ['a.npz']}, 'space.*`backbone_weights` excl'),
  ],
)
def test_what_a_run_may_not_be_told_is_named_with_its_table(train, choices, where):
  with pytest.raises(InputError, match=f'space.toml: {where}'):
    check_space(space_of(train, **choices))


def test_the_example_is_good(root):
  check_space(read_space(root / 'docs' / 'sweep.toml'))


def test_draws_depend_on_seed_and_number_alone(space_file):
  space = read_space(space_file(GOOD))
  assert draw(space, seed=3, number=5) == draw(space, seed=3, number=5)
  drawn = [str(draw(space, seed=s, number=n)) for s in (0, 1) for n in range(1, 9)]
  assert len(set(drawn)) == len(drawn)


def test_draws_cover_their_domains(space_file):
  space = read_space(space_file(GOOD))
  draws = [draw(space, seed=0, number=n) for n in range(400)]
  assert {d['augment'] for d in draws} == {'none', 'flip'}
  assert {d['seed'] for d in draws} == {0, 1, 2}
  assert all(0 <= d['weight_decay'] <= 0.1 for d in draws)
  assert all(1e-4 <= d['learning_rate'] <= 1e-2 for d in draws)
  # Uniform in the logarithm: half of them below the geometric mean. 4 deviations are 0.1.
  below = np.mean([d['learning_rate'] < math.sqrt(1e-4 * 1e-2) for d in draws])
  assert abs(below - 0.5) < 0.1
  assert abs(np.mean([d['weight_decay'] < 0.05 for d in draws]) - 0.5) < 0.1


def test_values_keep_every_digit_in_flags():
  assert float(flag_text(0.1 + 0.2)) == 0.1 + 0.2
  assert flag_text(True) == 'true' and flag_text('None') == 'None'
