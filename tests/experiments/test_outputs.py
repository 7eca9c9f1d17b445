"""What commands write: with other flags beside what is there, and never over what a person changed.

Each case is a command of a user as a function of this process, or where that is quick as a process.
`predict` has its own in evaluation/test_predicting.py, `prepare` in test_prepare.py; that a run of
other settings is refused is in training/test_run.py.
"""

import hashlib
import shutil

import numpy as np
import pytest
from PIL import Image

from experiments.evaluation.config import EvaluateConfig
from experiments.evaluation.evaluating import evaluate
from experiments.recovery import ChaosConfig, kill_and_compare
from experiments.storage import conversion
from experiments.sweeps.report import write_results as write_sweep
from experiments.tiny_backbone import TinyConfig, train_tiny
from experiments.training.log import RunLog
from hsnet_jax.checkpoints import load_checkpoint, save_checkpoint
from hsnet_jax.errors import InputError
from hsnet_jax.weights.convert import from_torch
from tests.experiments.sweeps.test_report import DOMAINS, METRIC, trial
from tests.made import tensors

CONFIG = {'backbone': 'tiny', 'benchmark': 'shapes', 'fold': 1, 'image_size': 64}


def held(folder):
  """{path: digest} of all files that a user sees."""
  files = (path for path in folder.rglob('*') if path.is_file() and not path.name.startswith('.'))
  return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
  """A folder `c`, a checkpoint, and `run`, a run's, of two networks."""
  folder = tmp_path_factory.mktemp('checkpoints')
  variables = from_torch(tensors('tiny'), backbone='tiny')
  save_checkpoint(folder / 'c', variables, config=CONFIG)
  other = from_torch(tensors('tiny', seed=1), backbone='tiny')
  for name, one in (('best', variables), ('last', other)):
    save_checkpoint(folder / 'run' / 'checkpoints' / name, one, config=CONFIG, step=3)
  return folder


def evaluation(checkpoint, output_dir=None):
  """Makes a command that evaluates a checkpoint of a copy, `other` meaning other episodes."""

  def write(folder, made, other):
    shutil.copytree(made, folder / 'made', dirs_exist_ok=True)
    config = EvaluateConfig(
      checkpoint=str(folder / 'made' / checkpoint),
      episodes=3 if other else 2,
      batch_size=2,
      pictures=1,
      output_dir=output_dir and str(folder / output_dir),
    )
    evaluate(config)

  return write


def of_another_checkpoint(folder, made, other):
  """The best of a run, then the last, into the run's own folder of evaluations."""
  evaluation('run/checkpoints/last' if other else 'run')(folder, made, False)


def export(folder, made, other):
  conversion.export_checkpoint(made / ('run' if other else 'c'), folder / 'out.safetensors')


def convert(folder, made, other):
  source = folder / 'in.safetensors'
  if not source.exists():
    conversion.export_checkpoint(made / 'c', source)
  config = {'shots': 5 if other else 1}
  conversion.import_published(source, folder / 'new', config=config)


def sweep(folder, made, other):
  del made
  trials = {1: trial(1, {10: 30.0 if other else 40.0})}
  write_sweep(folder, trials, metric=METRIC, domains=DOMAINS)


def train(folder, made, other):
  del made
  log = RunLog(folder, last_step=None)
  log.say('begins')
  log.picture('validation', 1, Image.fromarray(np.full((8, 8, 3), 9 * other, np.uint8)))
  log.close()


def tiny(folder, made, other):
  del made
  path = folder / 'tiny.safetensors'
  if not path.exists():  # As of an earlier training, which takes its time.
    path.write_bytes(b'weights')
  train_tiny(TinyConfig(output=str(path), seed=int(other)))


def chaos(folder, made, other):
  del made
  if not list(folder.iterdir()):
    (folder / 'unbroken.log').write_text('as of earlier rounds')
  kill_and_compare(ChaosConfig(rounds=1, seed=int(other), output_dir=str(folder)))


# Of what is told by what it is of, both stay; a run's own log and pictures follow the run.
WRITERS = {
  'evaluate': evaluation('run'),
  'evaluate a converted checkpoint': evaluation('c'),
  'evaluate into one folder': evaluation('run', 'out'),
  'evaluate best and last': of_another_checkpoint,
  'convert there': convert,
  'convert back': export,
  'train_tiny': tiny,
  'chaos': chaos,
}
FOLLOWING = {'sweep': sweep, 'train': train}
HEAVY = (
  'evaluate',
  'evaluate a converted checkpoint',
  'evaluate into one folder',
  'evaluate best and last',
)


def rows(names):
  return [pytest.param(n, marks=[pytest.mark.heavy] if n in HEAVY else []) for n in names]


def may_refuse(write, *args):
  """Runs a command, which may end with a line that names what is there."""
  try:
    write(*args)
  except InputError as error:
    assert str(args[0]) in str(error)


@pytest.mark.parametrize('name', rows(WRITERS))
def test_other_flags_leave_what_is_there(tmp_path, checkpoint, name):
  write = WRITERS[name]
  may_refuse(write, tmp_path, checkpoint, False)
  before = held(tmp_path)
  may_refuse(write, tmp_path, checkpoint, True)
  after = held(tmp_path)
  assert {path: after.get(path) for path in before} == before
  assert name.startswith(('convert', 'train_tiny', 'chaos')) or len(after) >= len(before) + 4


def change(path):
  """Changes a file as a person does."""
  if path.suffix == '.png':
    with Image.open(path) as image:
      mine = image.convert('RGB')
    mine.putpixel((1, 1), (1, 2, 3))
    mine.save(path)
  else:
    path.write_bytes(path.read_bytes() + b'\nchecked by Ann')


@pytest.mark.parametrize('name', rows([*WRITERS, *FOLLOWING]))
def test_what_a_person_changed_is_never_lost(tmp_path, checkpoint, name):
  write = {**WRITERS, **FOLLOWING}[name]
  may_refuse(write, tmp_path, checkpoint, False)
  ours = [p for p in held(tmp_path) if 'checkpoints' not in p.parts and 'c' not in p.parts]
  ours = [p for p in ours if p.suffix != '.jsonl' and 'tensorboard' not in p.parts]
  assert ours
  for path in ours:
    change(path)
  changed = {path: digest for path, digest in held(tmp_path).items() if path in ours}
  logs = [path for path in changed if path.name == 'log.txt']  # Of it the words stay, more follow.
  words = [path.read_text() for path in logs]
  for other in (False, True):
    may_refuse(write, tmp_path, checkpoint, other)
  now = held(tmp_path)
  assert {p: now.get(p) for p in changed if p not in logs} == {
    p: digest for p, digest in changed.items() if p not in logs
  }
  assert all(p.read_text().startswith(said) for p, said in zip(logs, words, strict=True))


@pytest.mark.parametrize('name', rows(['evaluate', 'evaluate into one folder', *FOLLOWING]))
def test_the_very_same_again_takes_its_own_place(tmp_path, checkpoint, name):
  write = {**WRITERS, **FOLLOWING}[name]
  counts = []
  for _ in range(2):
    write(tmp_path, checkpoint, False)
    counts.append({p for p in held(tmp_path) if 'tfevents' not in p.name})
  assert counts[0] == counts[1]


@pytest.mark.heavy
def test_converted_checkpoints_side_by_side_have_places_of_their_own(tmp_path, checkpoint):
  for name in ('a', 'b'):
    shutil.copytree(checkpoint / 'c', tmp_path / 'converted' / name)
    evaluate(
      EvaluateConfig(
        checkpoint=str(tmp_path / 'converted' / name), episodes=2, batch_size=2, pictures=0
      )
    )
  found = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob('results.json'))
  evaluation = 'hsnet-shapes-fold1-1shot-2episodes/results.json'
  assert found == [f'converted/{name}-evaluation/{evaluation}' for name in ('a', 'b')]
  assert load_checkpoint(tmp_path / 'converted' / 'a').step is None, 'and is one as before'


@pytest.mark.parametrize(
  'command', [('episodes', '--benchmark=shapes', '--episodes=1'), ('precision',), ('speed', 'x')]
)
def test_commands_that_print_write_nothing(served, tmp_path, command):
  served(*command, cwd=tmp_path)
  assert list(tmp_path.iterdir()) == []


@pytest.mark.heavy
def test_a_demo_goes_beside_what_is_no_demo_of_its_own(served, tmp_path):
  """There is no fold 9 or 8: its training ends before it begins."""
  mine = tmp_path / 'mine' / 'a.png'
  mine.parent.mkdir()
  mine.write_bytes(b'drawn by Ann')
  for fold, place in ((9, 'mine-2'), (9, 'mine-2'), (8, 'mine-3')):
    done = served('demo', '--run_dir=mine', f'--fold={fold}', cwd=tmp_path)
    assert done.returncode == 2
    assert (tmp_path / place / '.demo.json').is_file()
  assert held(tmp_path) == {mine: hashlib.sha256(b'drawn by Ann').hexdigest()}
  assert not (tmp_path / 'mine-4').exists()
