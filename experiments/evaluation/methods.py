"""Compiled steps: what is counted on a batch, and the mask of one photograph."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from experiments.evaluation.evaluate import Step
from hsnet_jax.baselines.prototype import (
  ScoreHistogram,
  prototype_logits,
  score_episodes,
  score_histogram,
)
from hsnet_jax.inference import combine_shots, encode_support, match_shots
from hsnet_jax.metrics import confusion_counts, probability_histogram
from hsnet_jax.models import Model
from hsnet_jax.resize import resize_bilinear
from hsnet_jax.training import eval_step, normalize

Size = tuple[int, int]


def hsnet_step(model: Model) -> Step:
  """The network as `experiments.evaluation.evaluate.evaluate` wants it, compiled once.

  Args:
    model: a trained model.

  Returns:
    `batch -> {'counts', 'histogram', 'prediction'}`.
  """
  compiled = jax.jit(eval_step, static_argnames='model')
  return lambda batch: compiled(model.variables, batch, model=model.module)


def prototype_step(model: Model, threshold: float) -> Step:
  """The training-free prototype, likewise.

  Args:
    model: a model, of which only the backbone is used.
    threshold: the score above which a pixel is foreground.

  Returns:
    `batch -> {'counts', 'histogram', 'prediction'}`.
  """

  @jax.jit
  def compiled(variables, batch):
    logits = prototype_logits(_scores(model, variables, batch), threshold)
    margin = logits[..., 1] - logits[..., 0]
    prediction = (margin > 0).astype(jnp.uint8)
    truth = batch['query_mask'], batch['query_ignore']
    return {
      'counts': confusion_counts(prediction, *truth),
      'histogram': probability_histogram(margin, *truth),
      'prediction': prediction,
    }

  return lambda batch: compiled(model.variables, batch)


def find_threshold(
  model: Model, batches: Iterable[Mapping[str, np.ndarray]], *, episodes: int, num_classes: int
) -> dict[str, float]:
  """The prototype's single threshold with the best mIoU on training episodes.

  Args:
    model: a model, of which only the backbone is used.
    batches: training batches; the caller closes them.
    episodes: how many episodes of them to use; whole batches.
    num_classes: class ids are below.

  Returns:
    'threshold' and the 'miou' it reaches there.
  """

  @jax.jit
  def compiled(variables, batch):
    scores = _scores(model, variables, batch)
    return score_histogram(scores, batch['query_mask'], batch['query_ignore'])

  histogram, seen = ScoreHistogram.empty(num_classes), 0
  for batch in batches:
    rows = compiled(model.variables, batch)
    histogram = histogram.update(rows, batch['class_id'], batch['valid'])
    seen += int(batch['valid'].sum())
    if seen >= episodes:
      break
  return histogram.result()


def predictor(
  model: Model, images: UInt8[np.ndarray, 'K H W 3'], masks: UInt8[np.ndarray, 'K H W']
) -> Callable[[np.ndarray, Size], np.ndarray]:
  """A support set, encoded once, to segment any number of photographs with.

  The network is compiled for the one size it sees; only the last resize, from the decoder's logits
  straight to the photograph, is compiled anew for photographs of another size.

  Args:
    model: a trained model.
    images: the support images.
    masks: their masks in {0, 1}.

  Returns:
    `(image uint8 [H, W, 3], (height, width)) -> mask uint8 {0, 1} [height, width]`.
  """
  module, variables = model.module, model.variables
  encode = jax.jit(lambda v, x, m: encode_support(module, v, normalize(x, module.backbone), m))
  support_set = encode(variables, images, masks)

  @jax.jit
  def logits(variables, image, support_set) -> Float[Array, 'K 1 h w 2']:
    query = normalize(image[None], module.backbone)
    features = module.apply(variables, query, method='encode')
    return match_shots(module, variables, features, support_set)

  def finish(logits, size: Size):
    resized = jax.vmap(lambda x: resize_bilinear(x, size))(logits)
    return combine_shots(resized).mask[0]

  compiled = jax.jit(finish, static_argnames='size')

  def predict(image: np.ndarray, size: Size) -> np.ndarray:
    return np.asarray(compiled(logits(variables, image, support_set), size=tuple(size)))

  return predict


def _scores(model: Model, variables: Any, batch: Mapping[str, Any]) -> Float[Array, 'B H W']:
  spec = model.backbone
  return score_episodes(
    model.module,
    variables,
    normalize(batch['query_image'], spec.name),
    normalize(batch['support_images'], spec.name),
    batch['support_masks'],
    levels=spec.levels,
    output_size=batch['query_mask'].shape[1:3],
    own_sizes=batch.get('query_size'),
  )
