"""Writes what a segmenter does as a program in one file, which runs without this package.

`program` makes the function that is exported, and says what goes in and comes out; `stablehlo` and
`onnx` write it; `reading` runs such a file, and compares it with the network that it is of.
"""

from typing import TYPE_CHECKING

from hsnet_jax.api.lazy import lazy_names

if TYPE_CHECKING:
  from hsnet_jax.export.onnx import export_onnx
  from hsnet_jax.export.reading import Exported, largest_difference, read_exported
  from hsnet_jax.export.stablehlo import export_stablehlo

__all__ = ['Exported', 'export_onnx', 'export_stablehlo', 'largest_difference', 'read_exported']

__getattr__, __dir__ = lazy_names(
  __name__,
  {
    '.onnx': ('export_onnx',),
    '.reading': ('Exported', 'largest_difference', 'read_exported'),
    '.stablehlo': ('export_stablehlo',),
  },
)
