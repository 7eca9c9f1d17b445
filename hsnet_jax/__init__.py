"""Segments by few shots in JAX: Hypercorrelation Squeeze Networks (HSNet, ICCV 2021).

Images are NHWC; 4D tensors `[B, Hq, Wq, Hs, Ws, C]`, query first; kernels HWIO.
"""

import pathlib
from typing import TYPE_CHECKING

from hsnet_jax.api.lazy import lazy_names

if TYPE_CHECKING:
  from hsnet_jax.backbones.backbone import Backbone
  from hsnet_jax.backbones.pixels import normalize
  from hsnet_jax.backbones.table import BACKBONES, get_backbone
  from hsnet_jax.baselines.prototype import (
    episode_scores,
    prototype_logits,
    prototype_scores,
    score_episodes,
  )
  from hsnet_jax.baselines.threshold import ScoreHistogram, score_histogram
  from hsnet_jax.conv4d import center_pivot_conv4d, full_conv4d, separable_conv4d
  from hsnet_jax.correlation import (
    Level,
    cosine_correlation,
    hypercorrelation,
    mask_features,
    pyramid_levels,
  )
  from hsnet_jax.encoder import correlation_conv4d
  from hsnet_jax.errors import InputError
  from hsnet_jax.extensions.head import Head
  from hsnet_jax.extensions.prior import (
    both_prototypes,
    prior_margin,
    prototype_cosines,
    prototypes,
  )
  from hsnet_jax.inference import (
    Segmentation,
    SupportSet,
    agreement_shots,
    best_shots,
    combine_shots,
    encode_support,
    episode_logits,
    match_shots,
    mean_margin,
    mean_shots,
    predict_episodes,
    segment,
    shot_agreement,
    vote,
  )
  from hsnet_jax.kernels.conv2d import conv2d
  from hsnet_jax.kernels.depthwise import depthwise_conv2d
  from hsnet_jax.metrics.confusion import Confusion, confusion_counts
  from hsnet_jax.metrics.roc import RocHistogram, probability_histogram
  from hsnet_jax.metrics.table import METRICS, Metric, Tally, count_episodes
  from hsnet_jax.model import HSNet, fold_backbone
  from hsnet_jax.models import Model, find_checkpoint, load_model
  from hsnet_jax.resize import (
    nearest_indices,
    resize_bilinear,
    resize_bilinear_each,
    resize_nearest,
  )
  from hsnet_jax.segmenter.found import Found
  from hsnet_jax.segmenter.segmenter import Segmenter
  from hsnet_jax.training.averaging import average_params, averaged_params
  from hsnet_jax.training.losses import cross_entropy
  from hsnet_jax.training.optimizers import make_optimizer, make_schedule
  from hsnet_jax.training.sharding import batch_sharding, data_mesh, jit_step, pmap_step, replicated
  from hsnet_jax.training.state import TrainState, create_train_state, init_params
  from hsnet_jax.training.steps import eval_step, train_step
  from hsnet_jax.weights.convert import from_torch, load_backbone, to_torch

# Read without an import when the package is built: a literal.
__version__ = '0.2.0'
__all__ = [
  'BACKBONES',
  'Backbone',
  'Confusion',
  'Found',
  'HSNet',
  'Head',
  'InputError',
  'Level',
  'METRICS',
  'Metric',
  'Model',
  'RocHistogram',
  'ScoreHistogram',
  'Segmentation',
  'Segmenter',
  'SupportSet',
  'Tally',
  'TrainState',
  'agreement_shots',
  'average_params',
  'averaged_params',
  'batch_sharding',
  'best_shots',
  'both_prototypes',
  'center_pivot_conv4d',
  'combine_shots',
  'confusion_counts',
  'conv2d',
  'correlation_conv4d',
  'cosine_correlation',
  'count_episodes',
  'create_train_state',
  'cross_entropy',
  'data_mesh',
  'depthwise_conv2d',
  'encode_support',
  'episode_logits',
  'episode_scores',
  'eval_step',
  'find_checkpoint',
  'fold_backbone',
  'from_torch',
  'full_conv4d',
  'get_backbone',
  'hypercorrelation',
  'init_params',
  'jit_step',
  'load_backbone',
  'load_model',
  'make_optimizer',
  'make_schedule',
  'mask_features',
  'match_shots',
  'mean_margin',
  'mean_shots',
  'nearest_indices',
  'normalize',
  'pmap_step',
  'predict_episodes',
  'prior_margin',
  'probability_histogram',
  'prototype_cosines',
  'prototype_logits',
  'prototype_scores',
  'prototypes',
  'pyramid_levels',
  'replicated',
  'resize_bilinear',
  'resize_bilinear_each',
  'resize_nearest',
  'score_episodes',
  'score_histogram',
  'segment',
  'separable_conv4d',
  'shot_agreement',
  'to_torch',
  'train_step',
  'vote',
]

__getattr__, __dir__ = lazy_names(
  __name__,
  {
    '.backbones.backbone': ('Backbone',),
    '.backbones.pixels': ('normalize',),
    '.backbones.table': ('BACKBONES', 'get_backbone'),
    '.baselines.prototype': (
      'episode_scores',
      'prototype_logits',
      'prototype_scores',
      'score_episodes',
    ),
    '.baselines.threshold': ('ScoreHistogram', 'score_histogram'),
    '.conv4d': ('center_pivot_conv4d', 'full_conv4d', 'separable_conv4d'),
    '.correlation': (
      'Level',
      'cosine_correlation',
      'hypercorrelation',
      'mask_features',
      'pyramid_levels',
    ),
    '.encoder': ('correlation_conv4d',),
    '.errors': ('InputError',),
    '.extensions.head': ('Head',),
    '.extensions.prior': (
      'both_prototypes',
      'prior_margin',
      'prototype_cosines',
      'prototypes',
    ),
    '.inference': (
      'Segmentation',
      'SupportSet',
      'agreement_shots',
      'best_shots',
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
    ),
    '.kernels.conv2d': ('conv2d',),
    '.kernels.depthwise': ('depthwise_conv2d',),
    '.metrics.confusion': ('Confusion', 'confusion_counts'),
    '.metrics.roc': ('RocHistogram', 'probability_histogram'),
    '.metrics.table': ('METRICS', 'Metric', 'Tally', 'count_episodes'),
    '.model': ('HSNet', 'fold_backbone'),
    '.models': ('Model', 'find_checkpoint', 'load_model'),
    '.resize': ('nearest_indices', 'resize_bilinear', 'resize_bilinear_each', 'resize_nearest'),
    '.segmenter.found': ('Found',),
    '.segmenter.segmenter': ('Segmenter',),
    '.training.averaging': ('average_params', 'averaged_params'),
    '.training.losses': ('cross_entropy',),
    '.training.optimizers': ('make_optimizer', 'make_schedule'),
    '.training.sharding': ('batch_sharding', 'data_mesh', 'jit_step', 'pmap_step', 'replicated'),
    '.training.state': ('TrainState', 'create_train_state', 'init_params'),
    '.training.steps': ('eval_step', 'train_step'),
    '.weights.convert': ('from_torch', 'load_backbone', 'to_torch'),
  },
)

# Modules that have moved keep their old names for one release.
__path__.append(str(pathlib.Path(__file__).parent / 'moved'))
