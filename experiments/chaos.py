"""Kills training at random moments, resumes it, and compares with a run never killed.

Examples, from the checkout's folder:

  Thirty kills, about a third of an hour on two cores:
    python -m experiments.chaos --rounds=30 --seed=0

  Other moments, and all files kept:
    python -m experiments.chaos --rounds=5 --seed=7 --output_dir=chaos

Each round starts `experiments.train` as a user does, on a small folder of made pictures, kills it
(SIGKILL), makes sure that every checkpoint it left can be read, and gives the same command again.
The first of every three rounds kills while a checkpoint is being written, the others at a moment
drawn from the time that a run takes, whatever phase that meets, which is printed. What is
compared is a hash of the parameters in all checkpoints (the best, the last, those before it) and of
metrics.jsonl but for its `time/*` fields. Exits with 1 unless every round ends as the run that was
never killed.
"""

from experiments.command import app
from experiments.command.flags import config_from_flags, define_flags
from experiments.recovery import ChaosConfig

define_flags(ChaosConfig)


def main() -> int:
  """Kills and compares as the flags say; returns the exit code."""
  config = config_from_flags(ChaosConfig)
  from experiments.recovery import kill_and_compare  # Brings JAX, which --help needs not.

  return 0 if kill_and_compare(config) else 1


if __name__ == '__main__':
  app.run(main)
