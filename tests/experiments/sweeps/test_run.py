"""`sweep(SweepConfig(...))` up to where Ray would start; a real one is in test_sweep.py."""

import sys

import pytest

from experiments.sweeps import SweepConfig, SweepOutcome, sweep
from experiments.sweeps.folder import Trial, begin_sweep, write_trial
from experiments.sweeps.space import read_space
from hsnet_jax.errors import InputError

METRIC = 'val/miou'


@pytest.fixture
def space(tmp_path):
  """A space file."""
  path = tmp_path / 'space.toml'
  path.write_text('[train]\nfold = 1\n[space]\nclip = {uniform = [0, 1]}\n')
  return path


def begin(folder, space, **changes):
  description = SweepConfig(**changes).description()
  begin_sweep(folder, {**description, **read_space(space).record()})


@pytest.mark.parametrize(
  'given, words',
  [
    ({'space': None}, '`space`'),
    ({'space': 'none.toml'}, 'none.toml'),
    ({'space': 'bad.toml'}, 'bad.toml: space.clip: the lower bound 2'),
    ({'space': 'unknown.toml'}, 'unknown.toml: space.clap'),
    ({'output_dir': 'taken'}, 'taken.*`output_dir`'),
    ({'output_dir': 'other'}, 'other.*seed: 5 there, 0 here'),
    ({'output_dir': 'same', 'address': 'nothing'}, '`address`=nothing'),
    ({'output_dir': 'same', 'address': '127.0.0.1:1'}, '`address`=127.0.0.1:1'),
  ],
)
def test_what_is_wrong_is_named_and_nothing_is_written(space, tmp_path, monkeypatch, given, words):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'bad.toml').write_text('[space]\nclip = {uniform = [2, 1]}')
  (tmp_path / 'unknown.toml').write_text('[space]\nclap = {uniform = [1, 2]}')
  (tmp_path / 'taken').mkdir()
  (tmp_path / 'taken' / 'notes.txt').touch()
  begin(tmp_path / 'same', space)
  begin(tmp_path / 'other', space, seed=5)
  before = sorted(tmp_path.rglob('*'))
  with pytest.raises(InputError, match=words):
    sweep(SweepConfig(**{'space': str(space), **given}))
  assert sorted(tmp_path.rglob('*')) == before


@pytest.mark.parametrize('values', [{'gpus_per_trial': 1.5}, {'search': 'grid'}, {'trials': 0}])
def test_a_configuration_is_checked_as_it_is_made(values):
  with pytest.raises(InputError, match=f'`{next(iter(values))}`'):
    SweepConfig(**values)


def test_without_the_optional_packages_it_says_how_to_get_them(space, monkeypatch):
  monkeypatch.setitem(sys.modules, 'matplotlib.figure', None)
  with pytest.raises(InputError, match=r"pip install '.\[sweep\]'"):
    sweep(SweepConfig(space=str(space)))


def test_a_sweep_that_is_done_is_told_of_again(space, tmp_path, capsys):
  folder = tmp_path / 'sweep'
  begin(folder, space)
  for number, value in ((1, 3.0), (2, 5.0)):
    write_trial(folder, Trial(number, {'clip': 0.5 * number}, 'ended'))
    log = folder / 'trials' / f'00{number}' / 'metrics.jsonl'
    log.write_text(f'{{"step": 10, "{METRIC}": {value}}}\n')
  outcome = sweep(SweepConfig(space=str(space), trials=2, output_dir=str(folder)))
  assert isinstance(outcome, SweepOutcome)
  assert outcome.best == folder / 'trials' / '002' / 'checkpoints' / 'best'
  assert outcome.stopped is None and outcome.failed == [] and list(outcome.trials) == [1, 2]
  assert '5.00' in capsys.readouterr().out
  assert (folder / 'results.csv').is_file() and (folder / 'curves.png').is_file()
