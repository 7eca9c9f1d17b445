"""Several real processes that train one model."""

import json
import socket
import subprocess
import sys

import numpy as np
import pytest

from hsnet_jax.checkpoints import load_checkpoint


def free_port():
  with socket.socket() as listener:
    listener.bind(('127.0.0.1', 0))
    return listener.getsockname()[1]


def losses(folder):
  lines = [json.loads(line) for line in (folder / 'metrics.jsonl').read_text().splitlines()]
  return [line['train/loss'] for line in lines if 'train/loss' in line]


def test_two_processes_train_as_one_does(root, environment, small, trained, tmp_path):
  run, port = tmp_path / 'run', free_port()
  args = [*small, '--max_steps=3', f'--run_dir={run}', f'--coordinator=127.0.0.1:{port}']
  command = [sys.executable, str(root / 'experiments' / 'train.py'), *args, '--num_processes=2']
  pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'text': True}
  processes = [
    subprocess.Popen([*command, f'--process_id={i}'], env=environment, **pipes) for i in range(2)
  ]
  said = [process.communicate(timeout=300) for process in processes]
  assert [process.returncode for process in processes] == [0, 0], said
  assert 'best validation mIoU' in said[0][0] and 'validation' not in said[1][0]
  np.testing.assert_allclose(losses(run), losses(trained[0]), rtol=1e-4)
  alone, together = (load_checkpoint(f / 'checkpoints' / 'last') for f in (trained[0], run))
  assert alone.config['figures'] == pytest.approx(together.config['figures'], abs=0.5)


def test_what_does_not_fit_or_answer_is_named(script, failure, tmp_path):
  def said(*flags):
    return failure(script('train', '--coordinator=127.0.0.1:9', *flags, cwd=tmp_path))

  assert 'needs --num_processes and --process_id' in said()
  assert 'it is at most 1' in said('--num_processes=2', '--process_id=2')
  line = said('--num_processes=2', '--process_id=1', '--connect_seconds=2')
  assert '--coordinator=127.0.0.1:9: no answer within 2 s' in line
  assert list(tmp_path.iterdir()) == []
