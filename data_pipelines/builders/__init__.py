"""TFDS builders of the benchmarks: ArrayRecord written and read without TensorFlow.

`experiments.prepare` makes sets with them, after it has checked the images; what it tells a builder
of the lists is what `data_pipelines.prepared.reader` needs to open a set.
"""

import importlib
from collections.abc import Mapping

# The module of each benchmark's builder; its class has the module's name in capitals.
BUILDERS: Mapping[str, tuple[str, str]] = {
  'pascal': ('pascal5i', 'Pascal5i'),
  'coco': ('coco20i', 'Coco20i'),
  'fss': ('fss1000', 'Fss1000'),
  'shapes': ('shapes', 'Shapes'),
  'folder': ('folder', 'Folder'),
}


def builder_class(name: str) -> type:
  """The builder of a benchmark; importing it imports TFDS.

  Args:
    name: the benchmark's name.

  Returns:
    A subclass of `base.PairBuilder`.
  """
  module, cls = BUILDERS[name]
  return getattr(importlib.import_module(f'data_pipelines.builders.{module}'), cls)
