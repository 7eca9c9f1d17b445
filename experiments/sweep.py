"""Searches for flags of experiments.train: many trials, several at a time, with Ray Tune.

Needs `pip install '.[sweep]'`. Examples, from the checkout's folder:

  Eight trials on the embedded benchmark, one a core (docs/sweep.toml is the space to copy):
    python -m experiments.sweep --space=docs/sweep.toml

  TPE in place of random draws, and ASHA, which ends what falls behind:
    python -m experiments.sweep --space=docs/sweep.toml --search=tpe --asha --trials=20 \\
      --output_dir=sweeps/tpe

  Two trials on each GPU of a cluster that `ray start` has made, on a disk that all machines share:
    python -m experiments.sweep --space=space.toml --address=auto --gpus_per_trial=0.5 \\
      --cpus_per_trial=4 --output_dir=shared/sweep

A trial is a run of experiments.train with its own folder, OUTPUT_DIR/trials/001 and so on. Beside
them come results.csv, results.md and two plots, curves.png and parameters.png. The same command
resumes a sweep that was stopped, killed or had failures: trials that are done are not run again,
those that were cut off resume from their last checkpoint. Ctrl-C and SIGTERM let each trial
save its step; the exit code is then 130 or 143, and 1 where trials failed.
"""

import sys

from experiments.command import app
from experiments.command.cache import define_cache
from experiments.command.flags import config_from_flags, define_flags
from experiments.sweeps import SweepConfig

define_flags(SweepConfig)
define_cache()


def main() -> int:
  """Sweeps as the flags say; returns the exit code."""
  config = config_from_flags(SweepConfig)
  from experiments.sweeps import stopped_by_signals, sweep  # Brings what --help needs not.

  outcome = sweep(config, stopping=stopped_by_signals)
  if outcome.best is not None:
    print(f'next: python -m experiments.evaluate --checkpoint={outcome.best}')
  failed = outcome.failed
  if failed:
    print(
      f'{len(failed)} of {len(outcome.trials)} trials failed: {", ".join(failed)}; see output.txt'
      ' in their folders; the same command tries them again',
      file=sys.stderr,
    )
  if outcome.stopped is not None:
    print('stopped; the same command resumes it', file=sys.stderr)
    return 128 + outcome.stopped
  return 1 if failed else 0


if __name__ == '__main__':
  app.run(main)
