"""What experiments/precision.py says of bfloat16."""

import re

import numpy as np
import pytest

from experiments.evaluation.config import PrecisionConfig
from experiments.evaluation.precisions import Comparison, Differences, compare_precisions


@pytest.mark.heavy
def test_both_are_measured_on_the_same_episodes(trained, capsys):
  config = PrecisionConfig(checkpoint=trained[0], episodes=3, batch_size=2)
  compared = compare_precisions(config)
  assert isinstance(compared, Comparison)
  lines = capsys.readouterr().out.splitlines()
  assert '3 episodes of shapes fold 1, 1-shot, 64 x 64' in lines[1]
  of_all, of_largest, sides = (float(x) for x in re.findall(r'([\d.]+)%', lines[2]))
  assert 0 < of_all < 0.2 and 0 < of_largest < 0.3 and 0 <= sides < 1  # Hardly trained at all.
  miou = [float(line.rsplit(' ', 1)[1]) for line in lines[3:]]
  assert [line.split(':')[0] for line in lines[3:]] == ['mIoU in float32', 'mIoU in bfloat16']
  assert miou == pytest.approx(list(compared.miou.values()), abs=0.01)
  assert abs(miou[0] - miou[1]) < 1
  # Rows that fill up count nowhere: three episodes of 64 x 64 pixels, one shot each.
  assert compared.differences.pixels == 3 * 64 * 64


def test_differences_are_relative_to_the_logits():
  differences = Differences()
  wide = np.array([[0.0, 4.0], [0.0, -3.0]])
  differences.add(wide, wide + [[0.0, 0.5], [0.0, 3.5]])
  assert (differences.largest, differences.largest_logit) == (3.5, 4.0)
  assert (differences.changed, differences.pixels) == (1, 2)
  assert '50.00% of the pixels' in differences.line() and '87.50%' in differences.line()
