"""Names the rows of the paper's tables that are HSNet's own."""

import dataclasses

from experiments.reporting.page.published import FOLDS, HSNET, UNMASKED, Published, published_rows
from hsnet_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Row:
  """Names a row.

  Attributes:
    name: such as `pascal-resnet50-1shot`.
    benchmark: as `data_pipelines.catalog` names it.
    published: its figures.
    mask_support: whether Eq. 1 is applied; not in the rows marked by a dagger.
  """

  name: str
  benchmark: str
  published: Published
  mask_support: bool

  @property
  def network(self) -> str:
    """Returns the name of what is trained for it: the 1-shot and the 5-shot row share it."""
    return self.name.rpartition('-')[0]


def rows() -> tuple[Row, ...]:
  """Returns all rows, in the order of the tables."""
  return tuple(
    Row(_name(benchmark, published, masked), benchmark, published, masked)
    for benchmark in FOLDS
    for method, masked in ((HSNET, True), (UNMASKED, False))
    for published in published_rows(benchmark, method=method)
  )


def find_row(name: str) -> Row:
  """Returns a row by its name.

  Raises:
    InputError: the paper has no such row of HSNet's.
  """
  known = {row.name: row for row in rows()}
  if name not in known:
    raise InputError(f'`row` is {name!r}; the paper has {", ".join(known)}')
  return known[name]


def _name(benchmark: str, published: Published, mask_support: bool) -> str:
  masking = '' if mask_support else '-unmasked'
  return f'{benchmark}-{published.backbone}{masking}-{published.shots}shot'
