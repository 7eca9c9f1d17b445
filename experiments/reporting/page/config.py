"""Configures a page of results; each field is a flag as well."""

import dataclasses

from experiments.settings.fields import check, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class PageConfig:
  """Names what a page is made of and where it goes, for `writing.write_page`."""

  results: tuple[str, ...] = setting(
    (),
    'Folders of evaluations and of runs, by commas; a run brings the evaluations in it. Words'
    ' without a flag are added to them.',
  )
  mix: bool = setting(
    False,
    'Lay results of several protocols side by side all the same: other episodes, other queries or'
    ' other sizes of them make other numbers.',
  )
  output_dir: str | None = setting(
    None,
    'Where the page, its figures and tables go; beside other ones there, with -2. Default:'
    ' NAME-report beside the folder NAME, of several runs/report.',
  )

  def __post_init__(self) -> None:
    """Refuses what no field may be."""
    check(self)
