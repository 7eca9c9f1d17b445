"""The command experiments.zoo; what it does is tested in model_zoo/."""

import pytest

from experiments.model_zoo import list_models
from experiments.model_zoo.listing import list_text, show_text
from experiments.model_zoo.store import find_model, path_of
from hsnet_jax.weights import write_model
from tests.experiments.model_zoo.given import EVALUATION, put
from tests.made import variables


@pytest.fixture
def zoo(tmp_path):
  put(tmp_path / 'zoo', evaluations=(EVALUATION,))
  put(tmp_path / 'zoo', 'cats', b'x', benchmark=None, fold=None, shots=None)
  return tmp_path / 'zoo'


def test_a_list_has_a_line_a_model(zoo):
  head, *lines = list_text(list_models(zoo)).splitlines()
  assert [line.split()[0] for line in lines] == ['photos', 'cats', 'dogs']
  assert 'mIoU' in head and 'shapes fold 1, 1-shot  60.2 (58.5 to 62.0)' in lines[2]
  assert 'with the package' in lines[0] and 'not stated' in lines[1]


def test_one_model_is_shown_with_all_figures(zoo):
  entry = find_model(zoo, 'dogs')
  text = show_text(entry, path_of(zoo, entry))
  for word in (entry.checksum, str(path_of(zoo, entry)), 'cup|mug (90)', '58.5 to 62.0', 'note: '):
    assert word in text
  entry = find_model(zoo, 'cats')
  assert 'Nothing that it reaches is measured' in show_text(entry, path_of(zoo, entry))


@pytest.fixture
def run(served, tmp_path):
  return lambda *args: served('zoo', *args, f'--zoo={tmp_path / "zoo"}', cwd=tmp_path)


def test_verbs_and_names(run, tmp_path, zoo):
  config = {'backbone': 'tiny', 'benchmark': 'shapes', 'fold': 1}
  write_model(tmp_path / 'a.safetensors', variables('tiny'), config=config)
  for args, words in (
    (['add', 'horses', '--checkpoint=a.safetensors', '--license=mit'], 'horses: added'),
    (['list'], 'horses  tiny'),
    (['show', 'horses'], 'mit'),
    (['verify'], 'cats: as it was added'),
    (['verify', 'horses'], 'horses: as it was added'),
    (['remove', 'horses'], 'horses: removed'),
  ):
    done = run(*args)
    assert (done.returncode, done.stderr) == (0, ''), done
    assert words in done.stdout
  assert [one.name for one in list_models(zoo)] == ['photos', 'cats', 'dogs']


@pytest.mark.parametrize(
  'args, words',
  [
    ([], 'one of list, show, add, verify, remove, push, pull'),
    (['delete', 'dogs'], 'not delete'),
    (['list', 'dogs'], 'experiments.zoo show dogs'),
    (['show'], 'show needs a name'),
    (['show', 'dosg'], 'nearest: dogs'),
    (['show', 'dogs', 'cats'], "'cats' belongs to no flag"),
    (['add', 'horses'], '--checkpoint is missing'),
    (['add', 'dogs', '--checkpoint=photos'], 'dogs: the zoo has a model of this name'),
    (['add', 'horses', '--checkpoint=none'], 'none: there is no such checkpoint'),
    (['remove', 'photos'], 'photos: comes with the package'),
    (['push', 'dogs'], '--repo must be USER/NAME'),
    (['pull', 'horses', '--repo=user/horses'], 'the models of the zoo are here'),
  ],
)
def test_what_does_not_fit_is_one_line(run, failure, zoo, args, words):
  assert words in failure(run(*args))


def test_all_files_are_verified_before_one_line_says_which_changed(run, failure, zoo):
  path_of(zoo, find_model(zoo, 'cats')).write_bytes(b'y')
  done = run('verify')
  assert '1 of 3 models' in failure(done) and 'cats' in failure(done)
  assert 'cats: its file' in done.stdout and 'dogs: as it was added' in done.stdout
  assert 'has changed' in failure(run('verify', 'cats'))


@pytest.mark.heavy  # Real processes; the rest of this file shares one.
def test_a_model_by_name_in_another_command(script, environment, tmp_path, monkeypatch, zoo):
  monkeypatch.setitem(environment, 'HSNET_ZOO', str(zoo))
  config = {'backbone': 'tiny', 'benchmark': 'shapes', 'fold': 1, 'image_size': 64}
  write_model(tmp_path / 'a.safetensors', variables('tiny'), config=config)
  done = script('zoo', 'add', 'horses', '--checkpoint=a.safetensors', cwd=tmp_path)
  assert (done.returncode, done.stderr) == (0, '')
  flags = ['--checkpoint=horses', '--episodes=2', '--batch_size=2']
  done = script('evaluate', *flags, cwd=tmp_path)
  assert done.returncode == 0, done.stderr
  assert list(tmp_path.glob('runs/horses-*-evaluation/*/results.json'))
  assert not list(zoo.glob('models/*/*'))
