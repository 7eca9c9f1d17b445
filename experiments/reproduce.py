"""Reproduces a row of the paper's tables: trains or converts, evaluates, and compares.

Examples, from the checkout's folder:

  The rows that there are, with their published figures:
    python -m experiments.reproduce

  From the authors' trained networks, a file for each fold (needs torch to read):
    python -m experiments.reproduce --row=pascal-resnet50-1shot \\
      --checkpoints='published/pascal_resnet50_fold{fold}.pt' \\
      --data_dir=VOC2012 --splits_dir=splits

  From scratch, by the published recipe; on a machine without a GPU it takes weeks:
    python -m experiments.reproduce --row=pascal-resnet50-5shot --data_dir=VOC2012 \\
      --splits_dir=splits

  What is missing, and which commands would run:
    python -m experiments.reproduce --row=coco-resnet101-1shot --data_dir=COCO --dry_run

What is missing is said at once, all of it. Each fold is trained (or its network converted) and
evaluated by the commands that it prints, in processes of their own; the same command goes on where
it was stopped. It ends with published, ours and the difference, on the screen and in
OUTPUT_DIR/NETWORK/ROW.md. The 5-shot rows are of the networks that the 1-shot rows are of.
docs/reproduce.md says what to download, and how long it takes.
"""

from experiments.command import app
from experiments.command.flags import config_from_flags, define_flags
from experiments.reproduction.config import ReproduceConfig

define_flags(ReproduceConfig)


def main() -> int:
  """Reproduces what the flags say; returns the exit code."""
  config = config_from_flags(ReproduceConfig)
  from experiments.reproduction.running import reproduce

  return reproduce(config)


if __name__ == '__main__':
  app.run(main)
