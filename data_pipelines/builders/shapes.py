"""The drawn benchmark `shapes` as a prepared set."""

from data_pipelines.prepared.writer import PairBuilder


class Shapes(PairBuilder):
  """20 classes of drawn objects in four folds: pictures and labels as PNG."""
