"""What a command says where a checkpoint cannot be read or written: one line, not all of Orbax."""

import os
import subprocess
import sys

import numpy as np
import pytest

from hsnet_jax.checkpoints import save_checkpoint

COMMAND = """
import resource, sys
import numpy as np
from absl import flags
from experiments.command import app
from hsnet_jax.checkpoints import load_checkpoint, save_checkpoint

flags.DEFINE_string('path', None, 'A checkpoint.')
flags.DEFINE_bool('write', False, 'Whether to write it, on a disk that is full soon.')

def main():
  if not flags.FLAGS.write:
    load_checkpoint(flags.FLAGS.path)
    return
  numbers = np.random.RandomState(0).rand(40, 50, 500).astype(np.float32)
  large = {'params': {f'w{i}': numbers[i] for i in range(40)}, 'backbone': {}}
  resource.setrlimit(resource.RLIMIT_FSIZE, (500000, 500000))
  save_checkpoint(flags.FLAGS.path, large, config={'backbone': 'tiny'})

app.run(main)
"""


@pytest.mark.parametrize('write', [False, True], ids=['damaged', 'full disk'])
def test_one_line_is_said(tmp_path, root, write):
  path = tmp_path / 'c'
  if not write:
    many = {str(i): np.random.RandomState(i).rand(50, 100).astype(np.float32) for i in range(60)}
    save_checkpoint(path, {'params': many, 'backbone': {}}, config={'backbone': 'tiny'})
    largest = max((path / 'variables').rglob('d/*'), key=lambda file: file.stat().st_size)
    os.truncate(largest, largest.stat().st_size // 2)
  done = subprocess.run(
    [sys.executable, '-c', COMMAND, f'--path={path}', f'--write={write}'],
    cwd=root,
    env={**os.environ, 'JAX_PLATFORMS': 'cpu'},  # or JAX says which accelerators it would like
    capture_output=True,
    text=True,
  )
  assert done.returncode == 2, done.stderr
  (line,) = done.stderr.splitlines()
  assert line.startswith(f'error: {path}: ') and ('disk full' if write else 'damaged') in line
