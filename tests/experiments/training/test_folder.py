import json

import numpy as np
import pytest
from PIL import Image

from experiments.storage import results
from experiments.training.folder import check_run_folder, clear_run, read_validations
from experiments.training.log import RunLog
from hsnet_jax.errors import InputError


def write(folder, *names):
  for name in names:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text('x')
    if name in MARKED:
      results.mark(folder / name, of={'command': 'evaluate'})


def check(folder, *, resume=False, overwrite=False):
  found, resumes = check_run_folder(folder, resume=resume, overwrite=overwrite)
  assert resumes == bool(resume)
  return found


def files(folder):
  return {str(path.relative_to(folder)) for path in folder.rglob('*')}


SAVED = (
  'checkpoints/best/config',
  'checkpoints/step_00000120/config',
  'checkpoints/.last.new/config',
)
# What a person may have changed; pictures carry their marks with them.
MARKED = tuple(f'evaluation/1shot/{n}' for n in ('results.json', 'results.md', 'episodes.csv'))
WRITTEN = (
  'log.txt',
  'metrics.jsonl',
  'tensorboard/plugins/profile/now/host.xplane.pb',
  'tensorboard/events.out.tfevents.1.host',
  *MARKED,
)
OTHER = {'pictures', 'pictures/holiday.png', 'notes.txt', 'checkpoints', 'checkpoints/resnet.pt'}
OTHER |= {'checkpoints/step_1000_good', 'checkpoints/step_1000_good/config.json'}


def test_a_run_is_replaced_or_resumed_when_asked_for(tmp_path):
  write(tmp_path, *SAVED, *WRITTEN)
  with pytest.raises(InputError, match='`resume`'):
    check(tmp_path)
  assert check(tmp_path, resume=True) == check(tmp_path, overwrite=True) == tmp_path


def test_a_run_resumes_by_default_from_its_last_checkpoint(tmp_path):
  write(tmp_path, *WRITTEN, 'checkpoints/best/config')
  (tmp_path / 'metrics.jsonl').write_text('{"step": 4, "val/miou": 1.0}\n')
  assert check_run_folder(tmp_path, resume=None, overwrite=False) == (tmp_path, False)
  write(tmp_path, 'checkpoints/.last.new/config')
  assert check_run_folder(tmp_path, resume=None, overwrite=False) == (tmp_path, True)
  assert check_run_folder(tmp_path, resume=None, overwrite=True) == (tmp_path, False)


@pytest.mark.parametrize('validated, older', [(0, []), (1, []), (2, []), (0, ['step_00000120'])])
def test_a_run_whose_last_checkpoint_is_gone_does_not_begin_anew(tmp_path, validated, older):
  write(tmp_path, 'checkpoints/best/config', *(f'checkpoints/{name}/config' for name in older))
  lines = [json.dumps({'step': step, 'val/miou': 1.0}) + '\n' for step in range(validated)]
  (tmp_path / 'metrics.jsonl').write_text(''.join(lines))
  if validated == 1:  # Killed between its first best and its first last.
    assert check_run_folder(tmp_path, resume=None, overwrite=False) == (tmp_path, False)
    return
  words = 'step_00000120' if older else '`overwrite`'
  with pytest.raises(InputError, match=f'checkpoints/last.*{words}'):
    check_run_folder(tmp_path, resume=None, overwrite=False)
  assert check(tmp_path, overwrite=True) == tmp_path


def test_a_run_killed_in_its_first_save_begins_anew(tmp_path):
  write(tmp_path, *WRITTEN, 'checkpoints/.last.new.orbax-checkpoint-tmp-1/config')
  assert check_run_folder(tmp_path, resume=None, overwrite=False) == (tmp_path, False)
  clear_run(tmp_path)
  assert files(tmp_path) == set()


def test_what_ended_before_it_wrote_anything_is_replaced(tmp_path):
  write(tmp_path, '.lock-12345678')
  assert check(tmp_path, overwrite=True) == tmp_path


def test_home_is_meant_by_a_tilde(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  assert check('~/run') == tmp_path / 'run'
  write(tmp_path / 'run', *SAVED)
  with pytest.raises(InputError, match='`resume`'):
    check('~/run')


def test_what_is_no_run_is_never_replaced(tmp_path):
  assert check(tmp_path, overwrite=True) == tmp_path
  write(tmp_path, 'pictures/validation.png', 'checkpoints/resnet.pt')
  with pytest.raises(InputError, match=f'{tmp_path}.*`overwrite`'):
    check(tmp_path, overwrite=True)
  before = files(tmp_path)
  clear_run(tmp_path)
  assert files(tmp_path) == before


def test_a_run_is_cleared_and_nothing_else(tmp_path):
  write(tmp_path, *SAVED, *WRITTEN)
  write(tmp_path, *(name for name in OTHER if '.' in name))
  clear_run(tmp_path)
  assert files(tmp_path) == OTHER


def test_what_a_person_changed_stays(tmp_path):
  write(tmp_path, *SAVED, *WRITTEN)
  drawn = Image.fromarray(np.zeros((4, 4, 3), np.uint8))
  for name in ('pictures/validation.png', 'evaluation/1shot/episodes.png'):
    results.write_png(tmp_path / name, drawn, of={'command': 'train'})
  drawn.save(tmp_path / 'pictures' / 'validation-2.png')
  (tmp_path / 'evaluation/1shot/results.json').write_text('{"miou": "checked by Ann"}')
  clear_run(tmp_path)
  evaluation = {'evaluation', 'evaluation/1shot', 'evaluation/1shot/results.json'}
  marks = {f'evaluation/1shot/{results.MARKS}'}
  assert files(tmp_path) == {'pictures', 'pictures/validation-2.png', *evaluation, *marks}


def test_what_a_run_without_a_checkpoint_left_is_cleared(tmp_path):
  write(tmp_path, *WRITTEN)
  assert check(tmp_path) == tmp_path
  clear_run(tmp_path)
  assert files(tmp_path) == set()


def test_validations_are_read_up_to_the_step_resumed_from(tmp_path):
  assert read_validations(tmp_path, last_step=9) == {}
  lines = [
    {'step': 4, 'val/miou': 1.0},
    {'step': 8, 'train/loss': 2.0},
    {'step': 8, 'val/miou': 3.0},
  ]
  lines += [{'step': 12, 'val/miou': 4.0}, {'step': 8, 'val/miou': 5.0}]
  text = ''.join(json.dumps(line) + '\n' for line in lines) + '{"step": 9, "val/mi'
  (tmp_path / 'metrics.jsonl').write_text(text)
  assert read_validations(tmp_path, last_step=9) == {4: 1.0, 8: 5.0}


@pytest.mark.parametrize(
  'damage',
  [
    *(b'\xff\xfe', b'[1, 2]', b'7', b'{"val/miou": 9.0}', b'{"step": "5", "val/miou": 9.0}'),
    *(b'{"step": true, "val/miou": 9.0}', b'{"step": 5, "val/miou": "x"}', b'[' * 100_000),
  ],
  ids=range(8),
)
def test_a_damaged_line_of_the_log_is_passed_over(tmp_path, damage):
  """When validations are read, and when a run goes on writing there."""
  whole = b'{"step": 4, "val/miou": 1.0}\n'
  path = tmp_path / 'metrics.jsonl'
  path.write_bytes(damage + b'\n' + whole)
  assert read_validations(tmp_path) == {4: 1.0}
  RunLog(tmp_path, last_step=6).close()
  assert read_validations(tmp_path) == {4: 1.0} and whole in path.read_bytes()
