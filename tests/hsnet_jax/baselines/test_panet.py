import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsnet_jax.baselines.panet import (
  ALPHA,
  align_prototypes,
  mean_prototypes,
  metric_logits,
  panet_logits,
  panet_transductive_logits,
)
from hsnet_jax.baselines.stacked import resize_to_queries, stack_episodes
from hsnet_jax.model import HSNet
from tests.made import averages

WRAPS = pytest.mark.parametrize('wrap', [lambda f: f, jax.jit], ids=['plain', 'jit'])


def episodes(shots, seed=0):
  rng = np.random.default_rng(seed)
  query = rng.normal(size=(2, 3, 4, 5)).astype(np.float32)
  supports = rng.normal(size=(2, shots, 3, 4, 5)).astype(np.float32)
  return query, supports, rng.random((2, shots, 3, 4)).astype(np.float32)


def pooled_oracle(images, masks):
  """The masked mean of each image, then their mean; (background, foreground)."""
  both = []
  for which in (lambda m: 1 - m, lambda m: m):
    means = []
    for image, mask in zip(images, masks, strict=True):
      total, area = np.zeros(image.shape[-1]), 0.0
      for y, x in np.ndindex(*mask.shape):
        total += which(float(mask[y, x])) * image[y, x]
        area += which(float(mask[y, x]))
      means.append(total / area if area > 0 else total)
    both.append(np.mean(means, axis=0))
  return both


def cosine(a, b):
  return a @ b / (np.linalg.norm(a) + 1e-5) / (np.linalg.norm(b) + 1e-5)


def logits_oracle(query, prototypes):
  logits = np.zeros((*query.shape[:2], 2))
  for y, x, p in np.ndindex(*logits.shape):
    logits[y, x, p] = ALPHA * cosine(query[y, x], prototypes[p])
  return logits


def aligned_oracle(query, supports, masks, steps):
  logits = logits_oracle(query, pooled_oracle(supports, masks))
  for _ in range(steps):
    own = (logits[..., 1] > logits[..., 0]).astype(float)
    shots = [*supports, query], [*masks, own]
    logits = logits_oracle(query, pooled_oracle(*shots))
  return logits


@WRAPS
@pytest.mark.parametrize('shots', [1, 3])
@pytest.mark.parametrize('steps', [0, 1, 2])
def test_a_query_is_one_more_shot(wrap, shots, steps):
  query, supports, masks = episodes(shots)
  masks[0, 0] = 0  # An object that is nowhere,
  masks[1, 0] = 1  # and one that is everywhere.
  run = wrap(functools.partial(align_prototypes, steps=steps))
  found = run(*map(jnp.asarray, (query, supports, masks)))
  for i in range(2):
    expected = aligned_oracle(*(np.float64(x[i]) for x in (query, supports, masks)), steps)
    np.testing.assert_allclose(found[i], expected, atol=2e-4)


@WRAPS
def test_prototypes_and_metric_against_loops(wrap):
  query, supports, masks = map(jnp.asarray, episodes(shots=2))
  pooled = wrap(mean_prototypes)(supports, masks)
  logits = wrap(metric_logits)(query, pooled)
  for i in range(2):
    expected = pooled_oracle(np.float64(supports[i]), masks[i])
    np.testing.assert_allclose(pooled[i], expected, atol=1e-5)
    np.testing.assert_allclose(logits[i], logits_oracle(query[i], expected), atol=1e-4)


@pytest.mark.heavy
def test_alignment_takes_in_what_the_supports_do_not_show():
  """An object that turns away from its prototype along the query: what is found finds the rest."""
  angles = np.deg2rad([0, 20, 40, 47] + 6 * [90])
  query = jnp.asarray(np.stack([np.cos(angles), np.sin(angles)], axis=-1), jnp.float32)
  query = query.reshape(1, 1, 10, 2)
  support = jnp.repeat(jnp.eye(2), 5, axis=0).reshape(1, 1, 1, 10, 2)
  mask = jnp.array([[[5 * [1.0] + 5 * [0.0]]]])
  marked = []
  for steps in (0, 1):
    logits = np.asarray(align_prototypes(query, support, mask, steps=steps))[0, 0]
    marked.append((logits[:, 1] > logits[:, 0]).tolist())
  assert marked == [[True] * 3 + [False] * 7, [True] * 4 + [False] * 6]


@pytest.mark.heavy
def test_panet_is_the_papers_inference_and_the_transductive_pass_a_method_of_its_own():
  rng = np.random.default_rng(0)
  masks = np.zeros((2, 3, 16, 16), np.uint8)
  masks[:, :, 4:12, 3:9] = 1
  batch = {
    'query_image': rng.integers(0, 256, (2, 16, 16, 3), np.uint8),
    'query_mask': np.zeros((2, 16, 16), np.uint8),
    'support_images': rng.integers(0, 256, (2, 3, 16, 16, 3), np.uint8),
    'support_masks': masks,
  }
  backbone = averages((1, 2, 1), name='each')
  model, variables = HSNet(backbone), {'params': {}, 'backbone': backbone.init(jax.random.key(0))}
  stacked = [np.float64(x) for x in stack_episodes(model, variables, batch)]
  found = {}
  for steps, logits in enumerate((panet_logits, panet_transductive_logits)):
    found[steps] = logits(model, variables, batch)
    small = np.stack([aligned_oracle(*one, steps) for one in zip(*stacked, strict=True)])
    expected = resize_to_queries(jnp.asarray(small, jnp.float32), batch)[None]
    np.testing.assert_allclose(found[steps], expected, atol=1e-3)
  assert np.abs(found[0] - found[1]).max() > 0.01
