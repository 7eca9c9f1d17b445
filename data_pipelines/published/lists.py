"""Reads the published lists of PASCAL-5i, COCO-20i and FSS-1000, and refuses what is no list.

The lists write a class as its class_id + 1, or as the name of its folder.
"""

import collections
import io
import pickle
import pickletools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from hsnet_jax.errors import InputError

# An image's name, two underscores, the class's number from 1: 2007_001185__11. A name never leads
# out of its folder.
_PASCAL_LINE = re.compile(r'(?P<name>[^/\\\0]+)__(?P<number>\d{1,4})')

# A photograph in its folder: val2014/COCO_val2014_000000507081.jpg.
_COCO_NAME = re.compile(r'(train|val)2014/[^/\\\0]+\.jpg')

_REMEDY = ' put the published list back'

# The pickle machine's words for numbers, text, lists and dicts: none takes more room than the file
# has, but those of the memo, whose table grows to whatever place they name.
_PLAIN = frozenset(
  (
    'PROTO FRAME STOP MARK MEMOIZE PUT BINPUT LONG_BINPUT GET BINGET LONG_BINGET NONE NEWTRUE '
    'NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING '
    'SHORT_BINSTRING UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES '
    'EMPTY_LIST LIST APPEND APPENDS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT DICT '
    'SETITEM SETITEMS'
  ).split()
)
_GLOBALS = ('GLOBAL', 'STACK_GLOBAL', 'EXT1', 'EXT2', 'EXT4')
_PUTS = ('PUT', 'BINPUT', 'LONG_BINPUT')


def read_pascal_list(path: str | Path, *, num_classes: int = 20) -> tuple[tuple[str, int], ...]:
  """Reads a published PASCAL-5i list.

  Args:
    path: a text file with a line such as `2007_001185__11` for each image and class, the class
      counted from 1.
    num_classes: the highest class number.

  Returns:
    (image name, class_id) in the order of the file, class_id counted from 0.

  Raises:
    InputError: the file is missing, empty, holds a line of another form, or one twice.
  """
  lines = _read_lines(path, what='image list', place='pascal/{trn,val}/fold0.txt to fold3.txt')
  items: dict[tuple[str, int], int] = {}
  for number, line in lines:
    match = _PASCAL_LINE.fullmatch(line)
    if match is None or not 1 <= int(match['number']) <= num_classes:
      raise InputError(
        f'{path}: line {number} is {line!r}; expected an image and its class from 1 to'
        f' {num_classes}, such as 2007_001185__11'
      )
    item = match['name'], int(match['number']) - 1
    if item in items:
      raise InputError(f'{path}: {line} is in lines {items[item]} and {number}; keep one of them')
    items[item] = number
  return tuple(items)


def read_coco_list(path: str | Path, *, num_classes: int = 80) -> Mapping[int, tuple[str, ...]]:
  """Reads a published COCO-20i list, a pickle, without any power to run what is in it.

  Args:
    path: a pickled dict from class_id to a list of photographs, such as
      'val2014/COCO_val2014_000000507081.jpg'.
    num_classes: how many classes there are.

  Returns:
    {class_id: image names in the order of the file}, classes ascending, those without any image
    left out.

  Raises:
    InputError: the file is missing, damaged, or asks for any function or class of Python at all;
      it holds something else than such a dict, an unknown class, or a name twice in one class.
  """
  lists = _load_plain(path)
  if type(lists) is not dict or not all(
    type(c) is int and type(names) is list and all(type(name) is str for name in names)
    for c, names in lists.items()
  ):
    raise InputError(f'{path}: not a dict from class numbers to lists of image names;{_REMEDY}')
  for class_id, names in lists.items():
    if not 0 <= class_id < num_classes:
      # Python refuses to write thousands of digits.
      number = class_id if abs(class_id) < 10**9 else 'of many digits'
      raise InputError(f'{path}: class {number} is out of range: 0 to {num_classes - 1};{_REMEDY}')
    wrong = next((name for name in names if not _COCO_NAME.fullmatch(name)), None)
    if wrong is not None:
      raise InputError(
        f'{path}: {wrong!r} of class {class_id} is no photograph of train2014 or val2014;{_REMEDY}'
      )
    if len(set(names)) < len(names):
      twice = next(name for name, count in collections.Counter(names).items() if count > 1)
      raise InputError(f'{path}: class {class_id} lists {twice} more than once; keep it once')
  if not any(lists.values()):
    raise InputError(f'{path}: the image list is empty; give the published list')
  return {c: tuple(lists[c]) for c in sorted(lists) if lists[c]}


def read_fss_list(path: str | Path) -> tuple[str, ...]:
  """Reads a published FSS-1000 list.

  Args:
    path: a text file with one category a line, each the name of a folder of images.

  Returns:
    The categories in the order of the file.

  Raises:
    InputError: the file is missing or empty, or a line is no name of a folder or there twice.
  """
  categories: dict[str, int] = {}
  for number, line in _read_lines(path, what='category list', place='fss/{trn,val,test}.txt'):
    if line in ('.', '..') or any(c in line for c in '/\\\0'):
      raise InputError(
        f'{path}: line {number} is {line!r}; expected the name of a category, such as ab_wheel'
      )
    if line in categories:
      raise InputError(
        f'{path}: {line} is in lines {categories[line]} and {number}; keep one of them'
      )
    categories[line] = number
  return tuple(categories)


class _PlainUnpickler(pickle.Unpickler):
  """Reads numbers, text, lists and dicts; refuses the rest before it can do anything."""

  def __init__(self, data: bytes, path: str | Path):
    super().__init__(io.BytesIO(data))
    self._path = path

  def find_class(self, module_name: str, global_name: str, /) -> NoReturn:
    """Refuses: a list needs no class and no function."""
    raise InputError(
      f'{self._path}: refused, since the pickle asks for {module_name}.{global_name}; a list needs'
      f' no code, so do not trust this file:{_REMEDY}'
    )


def _load_plain(path: str | Path) -> object:
  try:
    data = Path(path).read_bytes()
  except OSError as error:
    raise _unreadable(path, error, 'image list', 'coco/{trn,val}/fold0.pkl to fold3.pkl') from error
  try:
    _check_plain(data)
    return _PlainUnpickler(data, path).load()
  except InputError:
    raise
  except Exception as error:  # An unpickler raises nearly anything on a damaged file.
    raise InputError(f'{path}: truncated or damaged, or no pickle;{_REMEDY}') from error


def _check_plain(data: bytes) -> None:
  """Raises ValueError where a pickle asks for more than its bytes can hold; unpickles nothing.

  A global ends the walk: the unpickler refuses it when it comes to it.
  """
  for word, argument, _ in pickletools.genops(data):
    if word.name in _GLOBALS:
      return
    if word.name not in _PLAIN:
      raise ValueError(f'{word.name} in a list')
    if word.name in _PUTS and not (isinstance(argument, int) and argument < len(data)):
      raise ValueError(f'memo {argument} in {len(data)} bytes')


def _read_lines(path: str | Path, *, what: str, place: str) -> list[tuple[int, str]]:
  """Returns the lines that are not blank, stripped, each with its number."""
  try:
    lines = Path(path).read_text(encoding='utf-8').splitlines()
  except (OSError, UnicodeDecodeError) as error:
    raise _unreadable(path, error, what, place) from error
  kept = [(n, line.strip()) for n, line in enumerate(lines, start=1) if line.strip()]
  if not kept:
    raise InputError(f'{path}: the {what} is empty; give the published list')
  return kept


def _unreadable(path: str | Path, error: Exception, what: str, place: str) -> InputError:
  reason = getattr(error, 'strerror', None) or 'not a text file'
  return InputError(
    f'{path}: cannot read the {what} ({reason}); `splits_dir` must name the folder that holds'
    f' {place}'
  )
