"""Says what computing in bfloat16 does to the answers of a trained network.

Example, from the checkout's folder, after `make demo`:
  python -m experiments.precision --checkpoint=runs/demo --episodes=100

The same test episodes go through the network in float32 and in bfloat16. Printed is by how much the
logits differ, how many pixels change sides, and mIoU in both.
"""

from experiments.command import app
from experiments.command.cache import define_cache
from experiments.command.flags import config_from_flags, define_flags
from experiments.evaluation.config import PrecisionConfig

define_flags(PrecisionConfig)
define_cache()


def main() -> None:
  """Compares as the flags say."""
  from experiments.evaluation.precisions import compare_precisions

  compare_precisions(config_from_flags(PrecisionConfig))


if __name__ == '__main__':
  app.run(main)
