"""Kills training at random moments and resumes it; or breaks files of all kinds and reads them.

Examples, from the checkout's folder:

  Thirty kills, about a third of an hour on two cores:
    python -m experiments.chaos --rounds=30 --seed=0

  Other moments, and all files kept:
    python -m experiments.chaos --rounds=5 --seed=7 --output_dir=chaos

  Three thousand broken files, a few minutes:
    python -m experiments.chaos --what=files --rounds=3000 --seed=0

  One of them again, and the file kept:
    python -m experiments.chaos --what=files --seed=0 --first=1234 --rounds=1 --output_dir=chaos

--what=kills: each round starts `experiments.train` as a user does, on a small folder of made
pictures, kills it (SIGKILL), makes sure that every checkpoint it left can be read, and gives the
same command again. The first of every three rounds kills while a checkpoint is being written, the
others at a moment drawn from the time that a run takes, whatever phase that meets, which is
printed. What is compared is a hash of the parameters in all checkpoints (the best, the last, those
before it) and of metrics.jsonl but for its `time/*` fields. Exits with 1 unless every round ends as
the run that was never killed.

--what=files: each round makes a valid file of one of some forty kinds (pictures, masks, labels of
annotation tools, published lists, weights, checkpoints, logs, prepared sets, a sweep's files),
changes it (bits, blocks, lengths, the structure of its JSON, the parts of its PNG or archive), and
reads it as the commands do, in a process of its own. The same seed and round give the same change.
Exits with 1 unless each ends as a value or as one error of one line, within 10 s and 1 GB; those
that do not are named, and kept in --output_dir.
"""

from experiments.command import app
from experiments.command.flags import config_from_flags, define_flags
from experiments.recovery import ChaosConfig

define_flags(ChaosConfig)


def main() -> int:
  """Breaks and compares as the flags say; returns the exit code."""
  config = config_from_flags(ChaosConfig)
  # They bring JAX, which --help needs not.
  from experiments.recovery import kill_and_compare, read_mutated_files

  run = kill_and_compare if config.what == 'kills' else read_mutated_files
  return 0 if run(config) else 1


if __name__ == '__main__':
  app.run(main)
