"""Says whether the object is in a picture at all, from the same pass that looked for it.

A network trained on pictures that show the object marks, where there is none, what is most like it.
Whether that is like enough the coarsest features tell: the cosine of what was found with the
support's object, each the mean of its features (docs/recipes.md says what it is worth).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hsnet_jax.correlation import normalize_features
from hsnet_jax.extensions.prior import prototypes

# How steeply the presence's logit rises with the cosine.
SCALE = 15.0


def presence_margin(
  feature: Float[Array, 'n h w c'],
  prototype: Float[Array, 'n c'],
  margin: Float[Array, 'n h2 w2'],
  *,
  threshold: float,
) -> Float[Array, ' n']:
  """Scores that the object is in a picture: how like it what was found is.

  Args:
    feature: the query's coarsest map, `[N, h, w, C]`.
    prototype: the mean of the support's coarsest features on its object, divided by its norm,
      `[N, C]`.
    margin: foreground less background logit at every position of the query, of any size; features
      are weighed by their sigmoid.
    threshold: the cosine from which on the object is there.

  Returns:
    `SCALE * (cosine - threshold)`, float32 `[N]`: above 0 the object is there, and its sigmoid is a
    probability as far as scale and threshold were fitted.
  """
  (found,) = prototypes([feature.astype(jnp.float32)], jax.nn.sigmoid(margin))
  like = jnp.einsum('nc,nc->n', normalize_features(found), prototype, precision='highest')
  return SCALE * (like - threshold)


def limit_to_presence(
  logits: Float[Array, 'n h w 2'], presence: Float[Array, ' n']
) -> Float[Array, 'n h w 2']:
  """Makes no pixel more probably the object's than the object is there.

  The lesser of two margins is taken, as no event is more probable than one that it implies: masks
  stay as they are where the presence is above 0, and are empty elsewhere.

  Args:
    logits: `[N, H, W, 2]`, channel 1 the foreground.
    presence: from `presence_margin`.

  Returns:
    The logits, the foreground's limited.
  """
  margin = jnp.minimum(logits[..., 1] - logits[..., 0], presence[:, None, None])
  return jnp.stack([logits[..., 0], logits[..., 0] + margin], axis=-1)
