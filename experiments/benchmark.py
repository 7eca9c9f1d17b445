"""Forwards to experiments.speed, its name since 0.2.0; goes with the next release."""

import runpy
import warnings

if __name__ == '__main__':
  warnings.warn(
    'experiments.benchmark is experiments.speed now; the old name goes with the next release',
    stacklevel=1,
  )
  runpy.run_module('experiments.speed', run_name='__main__', alter_sys=True)
