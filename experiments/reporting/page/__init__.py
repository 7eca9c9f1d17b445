"""Makes one page of results that lie on a disk, for a reviewer, with its tables and figures.

from experiments.reporting.page import PageConfig, write_page
write_page(PageConfig(results=('runs/pascal', 'runs/margin/margin-pascal-fold2-1shot')))
"""

from typing import TYPE_CHECKING

from hsnet_jax.api.lazy import lazy_names

if TYPE_CHECKING:
  from experiments.reporting.page.config import PageConfig
  from experiments.reporting.page.writing import write_page

__all__ = ['PageConfig', 'write_page']

__getattr__, __dir__ = lazy_names(
  __name__, {'.config': ('PageConfig',), '.writing': ('write_page',)}
)
