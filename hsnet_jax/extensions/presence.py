"""Says whether what was found is the object at all, from the same pass that looked for it.

A network trained on pictures that show the object marks, where there is none, what is most like it.
Whether that is like enough the coarsest features tell: the cosine of what was found with the
support's object, each the mean of its features (docs/recipes.md says what it is worth).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hsnet_jax.correlation import normalize_features
from hsnet_jax.extensions.prior import prototypes


def likeness(
  feature: Float[Array, 'n h w c'],
  prototype: Float[Array, 'n c'],
  margin: Float[Array, 'n h2 w2'],
) -> Float[Array, ' n']:
  """Computes how like the support's object what was found in each query is.

  Args:
    feature: the query's coarsest map, `[N, h, w, C]`.
    prototype: the mean of the support's coarsest features on its object, divided by its norm,
      `[N, C]`.
    margin: foreground less background logit at every position of the query, of any size. A position
      weighs `2 p - 1` where its probability p is above a half; where none is, all weigh p.

  Returns:
    Cosines, float32 `[N]`.
  """
  probability = jax.nn.sigmoid(margin.astype(jnp.float32))
  found = jnp.maximum(2 * probability - 1, 0)
  anything = jnp.any(found > 0, axis=(1, 2), keepdims=True)
  (mean,) = prototypes([feature.astype(jnp.float32)], jnp.where(anything, found, probability))
  return jnp.einsum('nc,nc->n', normalize_features(mean), prototype, precision='highest')


def leave_empty(
  logits: Float[Array, '*shots n h w 2'], there: Bool[Array, ' n']
) -> Float[Array, '*shots n h w 2']:
  """Marks nothing in pictures that do not show the object; others stay as they are.

  Args:
    logits: `[..., N, H, W, 2]`, channel 1 the foreground.
    there: whether each picture shows it, bool `[N]`.

  Returns:
    The logits. Where the object is not there, the foreground's are lower by so much that the
    highest margin is not above 0: their order stays.
  """
  margin = logits[..., 1] - logits[..., 0]
  highest = jnp.max(margin, axis=(-2, -1), keepdims=True)
  lowered = margin - jnp.where(there[:, None, None], 0, jnp.maximum(highest, 0))
  foreground = jnp.where(there[:, None, None], logits[..., 1], logits[..., 0] + lowered)
  return jnp.stack([logits[..., 0], foreground], axis=-1)
