"""Evaluates a checkpoint, or the training-free prototype, by the published protocol.

Examples, from the checkout's folder:

  A trained model, on the benchmark and fold that its checkpoint records:
    python -m experiments.evaluate --checkpoint=runs/shapes-fold0-1shot-tiny/checkpoints/best

  Five shots, on photographs:
    python -m experiments.evaluate --checkpoint=best --shots=5 \\
      --data_dir=VOC2012 --splits_dir=splits

  By several protocols, side by side in one table:
    python -m experiments.evaluate --checkpoint=best --shots=5 \\
      --data_dir=VOC2012 --splits_dir=splits --protocols=published,distinct,absent

  On another benchmark, without the classes that were trained on:
    python -m experiments.evaluate --checkpoint=coco/best --protocol=cross --benchmark=pascal \\
      --fold=1 --data_dir=VOC2012 --splits_dir=splits

  The floor of every result table, on the same features and episodes:
    python -m experiments.evaluate --checkpoint=best --model=prototype

Prints mIoU with its 95% interval by bootstrap over the query pictures, the IoU of each class,
FB-IoU, over pixels accuracy, sensitivity, specificity, precision and F1, the AUC of the foreground
probability and its calibration error, boundary IoU and F-score, and IoU by the object's size, all
in percent; with --absent also how well absent objects are told. docs/evaluation.md says what each
is. Writes results.json, .md and .csv with the intervals of all, episodes.csv with the counts of
each episode, and a picture grid of the first episodes of each class. Each device, and of several
processes each, takes batches of its own: figures are the same to the last bit, but for
--original_size.

Results go to evaluation/ in the run's folder, or to NAME-evaluation/ beside a checkpoint NAME that
is of no run, under a name that tells what is not as usual (-last, -250episodes). Only the very same
evaluation takes the place of its own results, and only where nobody has changed them; any other
gets the next number (-2). results.json says what they are of: weights, lists, versions, date.
"""

from experiments.command import hosts
from experiments.command.cache import define_cache
from experiments.command.flags import config_from_flags, define_flags
from experiments.evaluation.config import EvaluateConfig

define_flags(EvaluateConfig)
define_flags(hosts.HostConfig)
define_cache()


def main() -> None:
  """Evaluates as the flags say."""
  config = config_from_flags(EvaluateConfig)
  # These bring JAX, which --help needs not.
  from experiments.evaluation import evaluate, evaluate_protocols

  if config.protocols:
    evaluate_protocols(config)
  else:
    evaluate(config)


if __name__ == '__main__':
  hosts.run(main)
