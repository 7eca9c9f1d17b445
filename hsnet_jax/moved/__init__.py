"""Keeps old names of moved modules, `hsnet_jax.losses` and others, for one release; they warn.

The folder is on `hsnet_jax.__path__`, so each file here is a module of `hsnet_jax` itself.
"""
