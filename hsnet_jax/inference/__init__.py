"""Segments images with a model: K shots, many queries, one support set.

`matching` goes from images to logits, one set a shot; `shots` makes one mask of them, in the ways
that `table` lists.
"""

from typing import TYPE_CHECKING

from hsnet_jax.api.lazy import lazy_names

if TYPE_CHECKING:
  from hsnet_jax.inference.matching import (
    SupportSet,
    encode_support,
    episode_logits,
    match_shots,
    predict_episodes,
    segment,
  )
  from hsnet_jax.inference.shots import (
    Segmentation,
    agreement_shots,
    best_shots,
    combine_shots,
    mean_margin,
    mean_shots,
    shot_agreement,
    vote,
    vote_shots,
  )
  from hsnet_jax.inference.table import COMBINATIONS, combination

__all__ = [
  'COMBINATIONS',
  'Segmentation',
  'SupportSet',
  'agreement_shots',
  'best_shots',
  'combination',
  'combine_shots',
  'encode_support',
  'episode_logits',
  'match_shots',
  'mean_margin',
  'mean_shots',
  'predict_episodes',
  'segment',
  'shot_agreement',
  'vote',
  'vote_shots',
]

# `check_one_size`, `mask_supports` and `Size` are found here as well, where they were in 0.1.
__getattr__, __dir__ = lazy_names(
  __name__,
  {
    '.matching': (
      'SupportSet',
      'check_one_size',
      'encode_support',
      'episode_logits',
      'mask_supports',
      'match_shots',
      'predict_episodes',
      'segment',
    ),
    '.shots': (
      'Segmentation',
      'agreement_shots',
      'best_shots',
      'combine_shots',
      'mean_margin',
      'mean_shots',
      'shot_agreement',
      'vote',
      'vote_shots',
    ),
    '.table': ('COMBINATIONS', 'combination'),
    'hsnet_jax.resize': ('Size',),
  },
)
