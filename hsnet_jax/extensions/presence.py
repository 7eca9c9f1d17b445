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

# How steeply the presence's logit rises with the cosine: as logistic regressions found it on the
# pictures of two folds of PASCAL with and without the object, 15.0 and 15.6.
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
    `SCALE * (cosine - threshold)`, float32 `[N]`: above 0 the object is there. Its sigmoid is a
    probability as far as both were fitted.
  """
  (found,) = prototypes([feature.astype(jnp.float32)], jax.nn.sigmoid(margin))
  like = jnp.einsum('nc,nc->n', normalize_features(found), prototype, precision='highest')
  return SCALE * (like - threshold)


def weigh_by_presence(
  logits: Float[Array, 'n h w 2'], presence: Float[Array, ' n']
) -> Float[Array, 'n h w 2']:
  """Takes into account that the object may not be there at all.

      P(pixel) = P(pixel | the object is there) P(the object is there)

  The first factor is the network's probability p, which was trained on pictures that show the
  object; where that exceeds a half it is stretched so that its maximum is 1, since some pixel shows
  an object that is there. So the most probable pixel is as probable as the object, no pixel is
  marked that was not before, and none where the presence is not above 0.

  Args:
    logits: whose softmax p is, `[N, H, W, 2]`, channel 1 the foreground.
    presence: the logit of the second factor, from `presence_margin`.

  Returns:
    Logits of the product; the background's as they were.
  """
  margin = logits[..., 1] - logits[..., 0]
  above = jnp.maximum(jax.nn.sigmoid(margin) - 0.5, 0.0)
  most = jnp.max(above, axis=(1, 2), keepdims=True)
  stretched = 0.5 + 0.5 * above / jnp.where(most > 0, most, 1.0)
  log_p = jnp.where(margin > 0, jnp.log(stretched), jax.nn.log_sigmoid(margin))
  log_p = log_p + jax.nn.log_sigmoid(presence)[:, None, None]
  # log(p / (1 - p)), without forming 1 - p where p is nearly 1.
  margin = log_p - jnp.log(-jnp.expm1(log_p))
  return jnp.stack([logits[..., 0], logits[..., 0] + margin], axis=-1)
