"""Forwards to `hsnet_jax.baselines.prototype`."""

from hsnet_jax.api.lazy import moved_names

__getattr__, __dir__ = moved_names(
  __name__,
  'hsnet_jax.baselines.prototype',
  'hsnet_jax.baselines.threshold',
  'hsnet_jax.extensions.prior',
)
