"""Segments pictures with one object, over the pure functions: fit a few, predict any number.

`segmenter` is what people call, `found` what it answers. `pictures` reads files, Pillow's images
and arrays; `supports` makes a support set of them; `programs` are the compiled functions, which the
command `predict` runs as well; `stored` keeps network and supports in one file.
"""

from typing import TYPE_CHECKING

from hsnet_jax.api.lazy import lazy_names

if TYPE_CHECKING:
  from hsnet_jax.segmenter.found import Found
  from hsnet_jax.segmenter.segmenter import Segmenter

__all__ = ['Found', 'Segmenter']

__getattr__, __dir__ = lazy_names(__name__, {'.found': ('Found',), '.segmenter': ('Segmenter',)})
