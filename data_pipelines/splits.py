"""The class and image lists that make up the folds of a benchmark.

A class is known by its `class_id`, counted from 0. The published lists write it as `class_id + 1`,
as the pixel values of the masks do.
"""

import dataclasses
import functools
import re
import warnings
from collections.abc import Mapping
from pathlib import Path

from hsnet_jax.errors import InputError

# An image's name, two underscores, the class's number from 1: 2007_001185__11.
_PASCAL_LINE = re.compile(r'(?P<name>.+)__(?P<number>\d+)')


@dataclasses.dataclass(frozen=True)
class Split:
  """The images of one fold that episodes are drawn from, with the class each is listed under.

  Attributes:
    name: what messages call it, such as 'pascal fold 2 val'.
    items: (image name, class_id) in the published order, which the test protocol depends on. An
      image that shows several classes is listed once for each of them.
    class_names: the name of every class_id, for messages; may be empty.
  """

  name: str
  items: tuple[tuple[str, int], ...]
  class_names: tuple[str, ...] = ()

  @functools.cached_property
  def by_class(self) -> Mapping[int, tuple[str, ...]]:
    """{class_id: its image names in list order}, classes ascending; only classes with an image."""
    lists: dict[int, list[str]] = {}
    for name, class_id in self.items:
      lists.setdefault(class_id, []).append(name)
    return {c: tuple(lists[c]) for c in sorted(lists)}

  def class_size(self, class_id: int) -> int:
    """How many different images the class has."""
    return len(set(self.by_class.get(class_id, ())))

  def describe(self, class_id: int) -> str:
    """The class as a message names it: "class 'bottle' (class_id 4)"."""
    if class_id < len(self.class_names):
      return f'class {self.class_names[class_id]!r} (class_id {class_id})'
    return f'class_id {class_id}'


def trainable(split: Split, *, least: int = 2) -> Split:
  """Drops the classes that are too small to make an episode of.

  A query needs a support of its class that is another image, so a class with a single image is
  left out. One warning names each such class and how many images it has.

  Args:
    split: a list, such as one to train on.
    least: how many different images a class must have: K + 1 where the K supports of an episode
      differ from one another.

  Returns:
    The list without those classes, in the same order; `split` itself where there are none.

  Raises:
    InputError: no class is left.
  """
  small = [c for c in split.by_class if split.class_size(c) < least]
  if not small:
    return split
  kept = tuple(item for item in split.items if item[1] not in small)
  if not kept:
    raise InputError(f'{split.name}: no class has {least} images; give a list with more images')
  sizes = {c: split.class_size(c) for c in small}
  counts = ', '.join(
    f'{split.describe(c)} with {n} image{"s" if n > 1 else ""}' for c, n in sizes.items()
  )
  warnings.warn(f'{split.name}: left out {counts}; {least} are needed', stacklevel=3)
  return dataclasses.replace(split, items=kept)


def read_pascal_list(path: str | Path, *, num_classes: int = 20) -> tuple[tuple[str, int], ...]:
  """Reads a published PASCAL-5i list.

  Args:
    path: a text file with a line such as `2007_001185__11` for each image and class, the class
      counted from 1.
    num_classes: the highest class number.

  Returns:
    (image name, class_id) in the order of the file, class_id counted from 0.

  Raises:
    InputError: the file is missing, empty, or holds a line of another form.
  """
  try:
    lines = Path(path).read_text(encoding='utf-8').splitlines()
  except (OSError, UnicodeDecodeError) as error:
    reason = getattr(error, 'strerror', None) or 'not a text file'
    raise InputError(
      f'{path}: cannot read the image list ({reason}); --splits_dir must name the folder that'
      ' holds pascal/{trn,val}/fold0.txt to fold3.txt'
    ) from error
  items = []
  for number, line in enumerate(lines, start=1):
    if not line.strip():
      continue
    match = _PASCAL_LINE.fullmatch(line.strip())
    if match is None or not 1 <= int(match['number']) <= num_classes:
      raise InputError(
        f'{path}: line {number} is {line.strip()!r}; expected an image and its class from 1 to'
        f' {num_classes}, such as 2007_001185__11'
      )
    items.append((match['name'], int(match['number']) - 1))
  if not items:
    raise InputError(f'{path}: the image list is empty; give the published list')
  return tuple(items)
