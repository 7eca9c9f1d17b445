"""Finds which classes a checkpoint was trained on, to test it on others."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from data_pipelines.benchmark import Benchmark
from data_pipelines.catalog import BENCHMARKS, make_benchmark
from data_pipelines.unseen import Unseen
from experiments.evaluation.config import EvaluateConfig
from hsnet_jax.errors import InputError


def own_lists(config: EvaluateConfig) -> EvaluateConfig:
  """Takes `splits_dir` from a benchmark that has no lists there; it is the checkpoint's alone then.

  Args:
    config: of protocol cross.

  Returns:
    What the tested benchmark is opened with.
  """
  row = BENCHMARKS.get(config.benchmark or '')
  return config if row is None or row.lists else dataclasses.replace(config, splits_dir=None)


def leave_out_seen(
  benchmark: Benchmark, recorded: Mapping[str, Any], *, splits_dir: str | None = None
) -> Unseen:
  """Leaves the classes that a checkpoint was trained on out of a test on another benchmark.

  Args:
    benchmark: what is tested on.
    recorded: what the checkpoint records: its `benchmark` and `fold`.
    splits_dir: of the published lists; needed where the names of classes are in them, as of fss.

  Returns:
    The benchmark without them.

  Raises:
    InputError: the checkpoint was trained on this very benchmark, does not say on which, or on one
      whose classes it does not name.
  """
  trained_on, fold = str(recorded.get('benchmark')), recorded.get('fold')
  if trained_on not in BENCHMARKS or fold is None:
    raise InputError('`protocol`=cross: the checkpoint does not say its benchmark and fold')
  if trained_on == benchmark.name:
    raise InputError(
      f'`protocol`=cross is for another benchmark than {trained_on}, which the checkpoint was'
      ' trained on; give `benchmark`'
    )
  return Unseen(benchmark, trained_classes(trained_on, fold, splits_dir=splits_dir))


def trained_classes(name: str, fold: int, *, splits_dir: str | None = None) -> tuple[str, ...]:
  """Names the classes that a fold of a benchmark trains on.

  With `validation`=heldout some of them are not; they were looked at all the same.

  Args:
    name: a key of `BENCHMARKS`.
    fold: the fold.
    splits_dir: as for `leave_out_seen`.

  Returns:
    Their names.

  Raises:
    InputError: they are not known; the lists are not there.
  """
  row = BENCHMARKS[name]
  if row.described:
    raise InputError(
      f'`protocol`=cross: the checkpoint was trained on benchmark {name}, and does not hold the'
      ' names of its classes'
    )
  cls = row.load()
  if hasattr(cls, 'class_names'):
    # Without its lists: which classes a fold has is in its number.
    benchmark: Benchmark = object.__new__(cls)
  else:
    lists = splits_dir if row.lists else None
    benchmark = make_benchmark(name, splits_dir=lists, lists_only=True)
  tests = [split for split in benchmark.splits if split != 'trn']
  held = {c for split in tests for c in benchmark.test_classes(fold, split)}
  return tuple(c for i, c in enumerate(benchmark.class_names) if c and i not in held)
