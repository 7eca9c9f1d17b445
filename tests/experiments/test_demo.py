"""The photographs that end the demo: found by the model of the package, and drawn."""

import numpy as np
import pytest
from PIL import Image

from experiments import demo


@pytest.mark.heavy
def test_photographs_are_segmented_and_drawn(tmp_path, capfd):
  assert demo.segment_photographs(tmp_path / 'photographs') == 0
  page = tmp_path / 'photographs' / 'photographs.png'
  assert f'Support and predictions: {page.resolve()}' in capfd.readouterr().out
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
