"""Old names of moved modules, which work for one release and warn: `hsnet_jax.losses` and others.

The folder is on `hsnet_jax.__path__`, so each file here is a module of `hsnet_jax` itself.
"""
