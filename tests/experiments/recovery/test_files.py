"""Broken files of every kind, read as the commands do: 500 of them here, thousands by `chaos`."""

import functools
import importlib.util

import pytest

from experiments.recovery import ChaosConfig, read_mutated_files
from experiments.recovery.files import read_rounds
from experiments.recovery.readers import READERS
from experiments.recovery.workers import Limits, make_input, read_input, read_tree
from hsnet_jax.errors import InputError
from tests import bad_readers

# So many inputs of a kind. The checkpoint of a whole network takes a second to read: `chaos` does.
MANY = 15
COUNTS = dict.fromkeys(READERS, MANY) | {'checkpoint': 10, 'prepared set': 10, 'model': 0}


@pytest.fixture(scope='module')
def sample(tmp_path_factory):
  """The valid files of a reader, made once: {path: bytes}."""

  @functools.cache
  def make(name):
    folder = tmp_path_factory.mktemp('sample')
    READERS[name].make(folder)
    return read_tree(folder)

  return make


def needs_more(reader):
  return bool(reader.needs) and importlib.util.find_spec(reader.needs) is None


def test_five_hundred_inputs_are_read_here():
  assert sum(COUNTS.values()) >= 500


@pytest.mark.parametrize('name', [name for name in READERS if COUNTS[name]])
def test_a_broken_file_is_a_value_or_one_error(tmp_path, sample, name):
  reader, tree = READERS[name], sample(name)
  valid = read_input(reader, make_input(name, reader, tree, seed=0, number=0), tmp_path / 'valid')
  assert valid.kind == ('refused' if needs_more(reader) else 'value'), valid
  for number in range(1, COUNTS[name] + 1):
    content = make_input(name, reader, tree, seed=0, number=number)
    assert content != tree
    verdict = read_input(reader, content, tmp_path / str(number))
    assert not verdict.failed, (number, verdict)
    assert verdict.seconds < 10 and verdict.megabytes < 1000, (number, verdict)


def test_what_is_made_of_a_sample_follows_from_seed_and_round(sample):
  reader, tree = READERS['labelme'], sample('labelme')

  def made(seed, number):
    return make_input('labelme', reader, tree, seed=seed, number=number)

  assert made(3, 7) == made(3, 7)
  assert len({str(made(seed, number)) for seed in (3, 4) for number in (7, 8)}) == 4


@pytest.mark.heavy
def test_a_bad_reader_is_found_out(tmp_path):
  numbers = range(1, len(bad_readers.READERS) + 1)
  found = list(
    read_rounds(
      bad_readers.READERS,
      numbers,
      seed=0,
      folder=tmp_path,
      limits=Limits(seconds=5.0, megabytes=150),
      module='tests.bad_readers',
      processes=2,
    )
  )
  assert sorted(read.number for read in found) == list(numbers)
  for name, kind in bad_readers.EXPECTED.items():
    assert {read.verdict.kind for read in found if read.name == name} == {kind}
  kept = {path.name.split('-')[1] for path in tmp_path.iterdir()}
  assert kept >= {'silent', 'bug', 'hungry', 'slow', 'crash'} and 'good' not in kept


def test_a_sample_that_is_refused_is_no_start(tmp_path):
  bad = {'good': bad_readers.READERS['good']._replace(make=lambda f: (f / 'file.txt').touch())}
  with pytest.raises(InputError, match='good'):
    list(read_rounds(bad, [1], seed=0, folder=tmp_path, module='tests.bad_readers', processes=1))


def test_the_command_prints_a_table_and_leaves_other_files_alone(tmp_path, capsys):
  config = ChaosConfig(what='files', rounds=3, seed=2, output_dir=str(tmp_path / 'out'))
  assert read_mutated_files(config)
  lines = capsys.readouterr().out.splitlines()
  assert lines[0].split()[:3] == ['reader', 'inputs', 'values']
  assert lines[-1].split()[:2] == ['all', '3'] and len(lines) == 5
  assert not any((tmp_path / 'out').iterdir())
  (tmp_path / 'notes.txt').touch()
  with pytest.raises(InputError, match='`output_dir`'):
    read_mutated_files(ChaosConfig(what='files', output_dir=str(tmp_path)))
