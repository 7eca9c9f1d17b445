"""Hypercorrelation Squeeze for few-shot segmentation (HSNet, ICCV 2021) in JAX.

Images are NHWC; 4D tensors `[B, Hq, Wq, Hs, Ws, C]`, query first; kernels HWIO.
"""

from hsnet_jax.backbones import BACKBONES, Backbone, get_backbone
from hsnet_jax.baselines.prototype import (
  ScoreHistogram,
  prototype_logits,
  prototype_scores,
  prototypes,
  score_episodes,
  score_histogram,
)
from hsnet_jax.conv4d import center_pivot_conv4d, full_conv4d, separable_conv4d
from hsnet_jax.correlation import cosine_correlation, hypercorrelation, mask_features
from hsnet_jax.errors import InputError
from hsnet_jax.inference import (
  Segmentation,
  SupportSet,
  combine_shots,
  encode_support,
  match_shots,
  mean_margin,
  predict_episodes,
  segment,
  vote,
)
from hsnet_jax.kernels.conv2d import conv2d, depthwise_conv2d
from hsnet_jax.metrics import Confusion, RocHistogram, confusion_counts, probability_histogram
from hsnet_jax.model import HSNet
from hsnet_jax.resize import (
  nearest_indices,
  resize_bilinear,
  resize_bilinear_each,
  resize_nearest,
)
from hsnet_jax.training.averaging import average_params, averaged_params
from hsnet_jax.training.losses import cross_entropy
from hsnet_jax.training.optimizers import make_optimizer, make_schedule
from hsnet_jax.training.sharding import batch_sharding, data_mesh, jit_step, pmap_step, replicated
from hsnet_jax.training.steps import (
  TrainState,
  create_train_state,
  eval_step,
  init_params,
  normalize,
  train_step,
)
from hsnet_jax.weights.convert import from_torch, load_backbone, to_torch

# Read without an import when the package is built: a literal.
__version__ = '0.2.0'
__all__ = [
  'BACKBONES',
  'Backbone',
  'Confusion',
  'HSNet',
  'InputError',
  'RocHistogram',
  'ScoreHistogram',
  'Segmentation',
  'SupportSet',
  'TrainState',
  'average_params',
  'averaged_params',
  'batch_sharding',
  'center_pivot_conv4d',
  'combine_shots',
  'confusion_counts',
  'conv2d',
  'cosine_correlation',
  'create_train_state',
  'cross_entropy',
  'data_mesh',
  'depthwise_conv2d',
  'encode_support',
  'eval_step',
  'from_torch',
  'full_conv4d',
  'get_backbone',
  'hypercorrelation',
  'init_params',
  'jit_step',
  'load_backbone',
  'make_optimizer',
  'make_schedule',
  'mask_features',
  'match_shots',
  'mean_margin',
  'nearest_indices',
  'normalize',
  'pmap_step',
  'predict_episodes',
  'probability_histogram',
  'prototype_logits',
  'prototype_scores',
  'prototypes',
  'replicated',
  'resize_bilinear',
  'resize_bilinear_each',
  'resize_nearest',
  'score_episodes',
  'score_histogram',
  'segment',
  'separable_conv4d',
  'to_torch',
  'train_step',
  'vote',
]
