"""Serves a segmenter to programs: pictures come over HTTP, masks go back.

`config` names what is served, `starting` puts it together. `server` answers requests, which
`bodies` reads in any form that they come in; `engine` segments what has come, one thread over the
network, by `segmenting`; `answers` writes it as JSON or PNG, `metrics` counts. `access` lets the
right ones in and `listening` opens a port: the page of `labelling` does both by the same functions.

from experiments.serving import ServeConfig, serve
serve(ServeConfig(segmenter='dogs.safetensors', token='SECRET'))  # until it is interrupted
"""

from typing import TYPE_CHECKING

from hsnet_jax.api.lazy import lazy_names

if TYPE_CHECKING:
  from experiments.serving.config import ServeConfig
  from experiments.serving.starting import serve

__all__ = ['ServeConfig', 'serve']

__getattr__, __dir__ = lazy_names(__name__, {'.config': ('ServeConfig',), '.starting': ('serve',)})
