import datetime
import json

import numpy as np
import pytest
from PIL import Image

from experiments.command.app import machine_error
from experiments.training.log import SAID, RunLog, SilentLog, note


def test_a_line_that_was_cut_short_stays_alone(tmp_path):
  (tmp_path / 'metrics.jsonl').write_text('{"step": 1}\n{"st')
  log = RunLog(tmp_path)
  log.scalars(2, {'val/miou': 3.0})
  log.close()
  lines = (tmp_path / 'metrics.jsonl').read_text().splitlines()
  assert lines[:2] == ['{"step": 1}', '{"st'] and json.loads(lines[2])['val/miou'] == 3.0


def test_what_came_after_the_step_resumed_from_is_taken_out(tmp_path):
  lines = ['{"step": 4, "a": 1}', '{"step": 8}', '{"step": 4, "b": 2}', '{"step": 9', '{"step": 4']
  (tmp_path / 'metrics.jsonl').write_text('\n'.join(lines))
  log = RunLog(tmp_path, last_step=4)
  log.scalars(5, {'c': 3})
  log.close()
  steps = [json.loads(x) for x in (tmp_path / 'metrics.jsonl').read_text().splitlines()]
  assert [x['step'] for x in steps] == [4, 4, 5] and steps[1]['b'] == 2


def test_what_an_unfinished_epoch_ends_with_is_written_anew(tmp_path):
  lines = [{'step': 2, 'val/miou': 1}, {'step': 4, 'train/running_loss': 1}]
  lines += [{'step': 4, 'train/loss': 1}, {'step': 4, 'val/miou': 1}]
  (tmp_path / 'metrics.jsonl').write_text(''.join(json.dumps(x) + '\n' for x in lines))
  RunLog(tmp_path, last_step=4, unfinished=True).close()
  kept = [json.loads(x) for x in (tmp_path / 'metrics.jsonl').read_text().splitlines()]
  assert kept == lines[:2]


def test_curves_and_pictures_are_on_disk_at_once(tmp_path):
  log = RunLog(tmp_path)
  (events,) = (tmp_path / 'tensorboard').iterdir()
  log.scalars(7, {'train/loss': 0.5})
  assert b'train/loss' in events.read_bytes()
  before = events.stat().st_size
  path = log.picture('validation', 7, Image.fromarray(np.zeros((4, 4, 3), np.uint8)))
  assert path.is_file() and events.stat().st_size > before
  log.close()


def test_what_is_no_number_has_no_point(tmp_path, caplog):
  log = RunLog(tmp_path)
  (events,) = (tmp_path / 'tensorboard').iterdir()
  log.scalars(7, {'val/auc': float('nan'), 'val/miou': 0.5})
  log.close()
  assert b'val/miou' in events.read_bytes() and b'val/auc' not in events.read_bytes()
  assert json.loads((tmp_path / 'metrics.jsonl').read_text())['val/auc'] is None
  assert not caplog.records


def test_a_full_disk_names_the_file_and_closing_adds_nothing(tmp_path):
  (tmp_path / 'metrics.jsonl').symlink_to('/dev/full')
  log = RunLog(tmp_path)
  with pytest.raises(OSError) as full:
    log.scalars(1, {'train/loss': 0.5})
  assert machine_error(full.value) == f'{tmp_path / "metrics.jsonl"}: the disk is full'
  log.close()


def test_what_is_said_is_kept_with_its_time(tmp_path, capsys):
  log = RunLog(tmp_path)
  log.say('epoch 1')
  log.close()
  again = RunLog(tmp_path, last_step=4)
  again.say('resuming from step 4')
  again.close()
  note(tmp_path, 'ended by KeyboardInterrupt')
  SilentLog().say('of another process')
  kept = [line.split('  ', 1) for line in (tmp_path / SAID).read_text().splitlines()]
  said = ['epoch 1', 'resuming from step 4', 'ended by KeyboardInterrupt']
  assert [words for _, words in kept] == said
  assert capsys.readouterr().out.splitlines() == [*said[:2], 'of another process']
  times = [datetime.datetime.fromisoformat(time) for time, _ in kept]
  assert times == sorted(times) and all(time.tzinfo for time in times)


def test_a_picture_that_was_drawn_on_stays(tmp_path):
  log, black = RunLog(tmp_path), Image.fromarray(np.zeros((4, 4, 3), np.uint8))
  path = log.picture('validation', 7, black)
  assert log.picture('validation', 8, black) == path == tmp_path / 'pictures' / 'validation.png'
  mine = Image.fromarray(np.full((4, 4, 3), 9, np.uint8))
  mine.save(path)
  assert log.picture('validation', 9, black) == path.with_name('validation-2.png')
  assert log.picture('validation', 10, black) == path.with_name('validation-2.png')
  with Image.open(path) as kept:
    np.testing.assert_array_equal(kept, mine)
  log.close()
