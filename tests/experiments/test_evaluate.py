"""The command experiments.evaluate; what it does is tested in evaluation/."""

import json

import pytest


@pytest.mark.heavy  # Trains in a process; evaluation/test_evaluating.py has all of it.
def test_a_real_process_evaluates_a_trained_run(script, trained, tmp_path):
  args = [f'--checkpoint={trained[0]}', '--batch_size=2', '--episodes=3', '--also_first=2']
  done = script('evaluate', *args, f'--output_dir={tmp_path}')
  assert done.returncode == 0, done.stderr
  record = json.loads((tmp_path / 'results.json').read_text())
  assert list(record['results']) == ['first 2', 'all 3'] and record['step'] == 3
  assert 'mIoU' in done.stdout and 'note: ' in done.stdout


@pytest.mark.parametrize(
  'args, words',
  [
    ([], '--checkpoint is missing'),
    (['--checkpoint=c', '--also_first=0'], '--also_first'),
    (['--checkpoint=c', '--random_backbone'], 'brings its backbone'),
    (['--checkpoint=c', '--model=oracle'], '--model'),
  ],
)
def test_bad_flags_are_named_and_nothing_is_written(served, failure, tmp_path, args, words):
  assert words in failure(served('evaluate', *args, '--output_dir=out', cwd=tmp_path))
  assert list(tmp_path.iterdir()) == []
