"""Lists the ways in which K shots become one mask: a name and a function of `shots.py`, a row each.

All take logits `[K, B, H, W, 2]` and `sizes`, and return those that `combine_shots` makes a mask of
and `mean_margin` a score; one shot's are left as they are. The names alone cost nothing: flags and
their help are made of them, without JAX. To add a way, write its function and a row here.
"""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from hsnet_jax.errors import InputError

COMBINATIONS: Mapping[str, str] = {
  'vote': 'vote_shots',
  'mean': 'mean_shots',
  'agreement': 'agreement_shots',
  'best': 'best_shots',
}


def combination(name: str) -> Callable[..., Any]:
  """Finds the function of a row, `(logits, *, sizes=None) -> logits`.

  Raises:
    InputError: there is no such row.
  """
  if name not in COMBINATIONS:
    raise InputError(f'`combine` is {name!r}; there are {", ".join(COMBINATIONS)}')
  return getattr(importlib.import_module('hsnet_jax.inference.shots'), COMBINATIONS[name])
