"""What experiments/precision.py says of bfloat16."""

import re


def test_both_are_measured_on_the_same_episodes(served, failure, small, trained):
  flags = [f'--checkpoint={trained[0]}', '--episodes=3', '--batch_size=2']
  done = served('precision', *flags)
  assert done.returncode == 0, done.stderr
  lines = done.stdout.splitlines()
  assert '3 episodes of shapes fold 1, 1-shot, 64 x 64' in lines[1]
  of_all, of_largest, sides = (float(x) for x in re.findall(r'([\d.]+)%', lines[2]))
  assert 0 < of_all < 0.2 and 0 < of_largest < 0.3 and 0 <= sides < 1  # Hardly trained at all.
  miou = [float(line.rsplit(' ', 1)[1]) for line in lines[3:]]
  assert [line.split(':')[0] for line in lines[3:]] == ['mIoU in float32', 'mIoU in bfloat16']
  assert abs(miou[0] - miou[1]) < 1
  assert '--checkpoint is missing' in failure(served('precision'))
