"""The drawn benchmark `shapes` as a prepared set."""

from data_pipelines.builders.base import PairBuilder


class Shapes(PairBuilder):
  """20 classes of drawn objects in four folds: pictures and labels as PNG."""
