"""The photographs that end the demo: found by the model of the package, and drawn."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from experiments.storage.checkout import child_environment

# A command defines flags where it is imported, so it is in a process of its own.
_CODE = """
import pathlib, sys
from experiments import demo
sys.exit(demo.segment_photographs(pathlib.Path('photographs')))
"""


@pytest.mark.heavy
def test_photographs_are_segmented_and_drawn(tmp_path):
  done = subprocess.run(
    [sys.executable, '-c', _CODE],
    cwd=tmp_path,
    env=child_environment(os.environ),
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  page = tmp_path / 'photographs' / 'photographs.png'
  assert f'Support and predictions: {page.resolve()}' in done.stdout
  with Image.open(page) as drawn:
    assert drawn.size[0] > 3 * 240 and drawn.size[1] > 240
  marked = {}
  for name in ('camera', 'rocket', 'more_coins'):
    with Image.open(tmp_path / 'photographs' / f'{name}_predicted.png') as mask:
      marked[name] = np.mean(np.asarray(mask) > 0)
  # A man is there, no man is, and half of the picture are coins.
  assert (
    0.1 < marked['camera'] < 0.5 and marked['rocket'] < 0.05 and 0.3 < marked['more_coins'] < 0.9
  )
