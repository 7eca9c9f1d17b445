"""Lists the methods that are evaluated: one file of `hsnet_jax.baselines` and one row here each.

The file has a function that gives the logits of a batch of episodes, as the network's own does:

    logits(model, variables, batch) -> [K, B, H, W, 2], channel 1 the foreground; K may be 1

A method that finds something on training episodes first, as a prototype its threshold, has one for
that as well, and its `logits` takes what was found as keywords:

    fit(model, variables, batches, *, episodes, num_classes) -> {keyword: number, 'miou': there}

A batch is as `hsnet_jax.inference.episode_logits` describes it. A file is imported when it is used.
"""

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Method:
  """Describes a method: a row of the table.

  Attributes:
    module: the file that the functions are in.
    logits: the name of the function that gives logits.
    fit: the name of the one that finds what `logits` needs beside a network; '' for none.
    trained: whether a checkpoint's learned parameters are used, not the backbone alone.
    looks: whether features are used; a floor marks queries without looking at them.
  """

  module: str
  logits: str
  fit: str = ''
  trained: bool = False
  looks: bool = True

  def load(self, name: str) -> Callable[..., Any]:
    """Imports one of the functions, such as `method.load(method.fit)`."""
    return getattr(importlib.import_module(self.module), name)


METHODS: Mapping[str, Method] = {
  'hsnet': Method('hsnet_jax.inference', 'episode_logits', trained=True),
  'prototype': Method(
    'hsnet_jax.baselines.prototype', 'prototype_episode_logits', fit='find_threshold'
  ),
  'margin': Method('hsnet_jax.baselines.margin', 'margin_episode_logits', fit='fit_margin'),
  'panet': Method('hsnet_jax.baselines.panet', 'panet_logits'),
  'panet_transductive': Method('hsnet_jax.baselines.panet', 'panet_transductive_logits'),
  'pmm': Method('hsnet_jax.baselines.pmm', 'pmm_logits', fit='fit_pmm'),
  'pfenet_prior': Method(
    'hsnet_jax.baselines.pfenet_prior', 'pfenet_prior_logits', fit='fit_pfenet_prior'
  ),
  'repri': Method('hsnet_jax.baselines.repri', 'repri_logits'),
  'mean_foreground': Method('hsnet_jax.baselines.floors', 'mean_foreground_logits', looks=False),
  'disc': Method('hsnet_jax.baselines.floors', 'disc_logits', looks=False),
  'everything': Method('hsnet_jax.baselines.floors', 'everything_logits', looks=False),
  'nothing': Method('hsnet_jax.baselines.floors', 'nothing_logits', looks=False),
}
