"""Trains HSNet on a few-shot benchmark, validates each epoch, keeps the best and the last.

Examples, from the checkout's folder:

  The embedded benchmark, ten minutes on two cores:
    python -m experiments.train --fold=0 --max_minutes=10

  PASCAL-5i as published, on a GPU (ImageNet weights come from the Hugging Face Hub):
    python -m experiments.train --benchmark=pascal --fold=0 --backbone=resnet50 \\
      --data_dir=VOC2012 --splits_dir=splits

  Without an accelerator: a small backbone, small pictures, a limit:
    python -m experiments.train --benchmark=pascal --fold=2 --backbone=mobilenet_v1_075 \\
      --backbone_weights=mobilenet_v1_075.npz --image_size=200 --val_episodes=300 \\
      --max_steps=1300 --data_dir=VOC2012 --splits_dir=splits

A run's folder (--run_dir) holds checkpoints/best (by validation mIoU), checkpoints/last, with
--keep those before it, metrics.jsonl, log.txt (what was printed, and when), tensorboard/ and
pictures/. The same command resumes a run
that was stopped, and ends as if it had not been; SIGTERM saves the step that is under way and exits
with 143.

As in the published work, validation runs on the episodes of the fold's unseen classes, so the best
checkpoint is chosen with the test in sight; --validation=heldout is the honest way.
"""

import signal
import sys

from experiments.command import hosts
from experiments.command.cache import define_cache
from experiments.command.flags import config_from_flags, define_flags
from experiments.training import TrainConfig

define_flags(TrainConfig)
define_flags(hosts.HostConfig)
define_cache()


def main() -> int:
  """Trains as the flags say; returns the exit code."""
  config = config_from_flags(TrainConfig)
  # These bring JAX, which --help needs not.
  from experiments.training import stopped_by_sigterm, train
  from experiments.training.log import say

  outcome = train(config, stopping=stopped_by_sigterm)
  if outcome.stopped is not None:
    print(f'{outcome.stopped}; the same command resumes it', file=sys.stderr)
    return 128 + signal.SIGTERM
  if outcome.best is not None:
    say(outcome.folder, f'next: python -m experiments.evaluate --checkpoint={outcome.best}')
  return 0


if __name__ == '__main__':
  hosts.run(main)
