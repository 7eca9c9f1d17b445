"""Forwards to `hsnet_jax.weights.files`."""

from hsnet_jax.api.lazy import moved_names

__getattr__, __dir__ = moved_names(__name__, 'hsnet_jax.weights.files', 'hsnet_jax.whole_files')
