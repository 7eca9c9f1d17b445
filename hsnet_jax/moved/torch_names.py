"""Forwards to `hsnet_jax.weights.names`."""

from hsnet_jax.api.lazy import moved_names

__getattr__, __dir__ = moved_names(__name__, 'hsnet_jax.weights.names')
