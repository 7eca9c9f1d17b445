"""Hashes what a run left: equal for runs that ended alike."""

import hashlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from hsnet_jax.checkpoints import load_checkpoint
from hsnet_jax.models import digest


def fingerprint(run: pathlib.Path) -> str:
  """Hashes what a run left: the variables of its checkpoints, and the log but for its times.

  Args:
    run: the run's folder.

  Returns:
    16 hexadecimal digits.
  """
  hashed = hashlib.sha256()
  for path in checkpoints_of(run):
    checkpoint = load_checkpoint(path)
    told = [path.name, checkpoint.step, checkpoint.config['figures'], digest(checkpoint.variables)]
    hashed.update(json.dumps(told).encode())
  for line in (run / 'metrics.jsonl').read_text(encoding='utf-8').splitlines():
    hashed.update(json.dumps(_without_times(json.loads(line))).encode())
  return hashed.hexdigest()[:16]


def checkpoints_of(run: pathlib.Path) -> list[pathlib.Path]:
  """Returns best, last and those before it, each once; `.last.new` alone counts as last."""
  names = [name.removeprefix('.').removesuffix('.new') for name in saved_names(run)]
  return [run / 'checkpoints' / name for name in sorted({*names}) if '.' not in name]


def saved_names(run: pathlib.Path) -> list[str]:
  """Returns what is in a run's folder of checkpoints; nothing before it is there."""
  try:
    return os.listdir(run / 'checkpoints')
  except FileNotFoundError:
    return []


def _without_times(line: Mapping[str, Any]) -> dict[str, Any]:
  return {name: value for name, value in line.items() if not name.startswith('time/')}
