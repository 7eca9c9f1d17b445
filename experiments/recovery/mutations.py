"""Mutates the content of files: bytes and a random generator in, other bytes out.

Of bytes, JSON and lines of text. What is built of parts with lengths and checksums, such as PNG, is
in `experiments.recovery.containers`.
"""

import copy
import json
import random
import struct
import zlib
from collections.abc import Callable
from typing import Any

Mutator = Callable[[bytes, random.Random], bytes]

_TRIES = 20
# What a mutator may raise of bytes that are not built as it takes them to be.
_NOT_BUILT_SO = (ValueError, LookupError, ArithmeticError, struct.error, zlib.error, RecursionError)
_LARGEST_BLOCK = 4096
_LARGEST_LIST = 20_000
# What lengths, counts and sizes are taken for.
_NUMBERS = (0, 1, 2, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32)
# In place of any value of JSON.
_VALUES = (
  *(None, True, False, 0, -1, 1, 2, 0.5, -0.0, 1e-300, 1e300, 2**31, 2**53, 2**63, 2**64, 10**30),
  *('', 'a', '0', '1.5', '\0', '.', '..', '/', '../../x', 'C:\\x', '\ud800', '\u202e\U0001f600'),
  *('\n', 'x' * 300, 'x' * 70_000, [], {}, [[]], [None], [0], ['a'], {'a': None}, {'': []}),
)
# What a writer of JSON would not write.
_RAW = (
  *('NaN', '-Infinity', '1e999', '-', '"', '\\u12', '{"a": 1, "a": 2}', '9' * 5000, '1' * 400),
  *('[' * 100_000, '[' * 500 + ']' * 500, '{"a":' * 2000 + '1' + '}' * 2000, '', ',', '\x00'),
)
_RAW_MARK = 'put raw text here'
_TOKENS = (
  *(
    b'',
    b'0',
    b'-1',
    b'1e999',
    b'nan',
    b'9' * 5000,
    b'\0',
    b'\xff\xfe',
    b'\xed\xa0\x80',
    b'..',
    b'/',
  ),
  *(b'x' * 300, b'x' * 100_000, b'"', b"'", b'[' * 5000, b'{', b'=', b'#', b':', b'- ', b'&a *a'),
)


def mutate(data: bytes, rng: random.Random, structure: Mutator | None = None) -> bytes:
  """Mutates a file's content.

  Args:
    data: the content.
    rng: all that chance decides; the same state gives the same result.
    structure: what knows how such files are built; it is asked more often than `mutate_bytes`.

  Returns:
    Other bytes than `data`.
  """
  for _ in range(_TRIES):
    mutator = structure if structure and rng.random() < 0.65 else mutate_bytes
    try:
      mutated = mutator(data, rng)
    except _NOT_BUILT_SO:
      continue
    if mutated != data:
      return mutated
  return data + b'\0'


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
  """Changes bytes one to four times: flips, cuts, copies, zeros, lengths that are others."""
  for _ in range(rng.choice((1, 1, 1, 2, 4))):
    data = rng.choice(_BYTE_CHANGES)(data, rng)
  return data


def _place(data: bytes, rng: random.Random) -> int:
  """Draws a position, in the head of the file as often as anywhere."""
  end = len(data) if rng.random() < 0.5 else min(len(data), 128)
  return rng.randrange(end + 1)


def _block(data: bytes, rng: random.Random) -> tuple[int, int]:
  start = _place(data, rng)
  longest = min(len(data) - start, _LARGEST_BLOCK if rng.random() < 0.3 else 16)
  return start, start + rng.randint(0, longest)


def _flip(data: bytes, rng: random.Random) -> bytes:
  changed = bytearray(data)
  for _ in range(rng.randint(1, 8) if data else 0):
    changed[min(_place(data, rng), len(data) - 1)] ^= 1 << rng.randrange(8)
  return bytes(changed)


def _truncate(data: bytes, rng: random.Random) -> bytes:
  return data[: rng.randrange(len(data) + 1)]


def _remove(data: bytes, rng: random.Random) -> bytes:
  start, end = _block(data, rng)
  return data[:start] + data[end:]


def _insert(data: bytes, rng: random.Random) -> bytes:
  start, end = _block(data, rng)
  at, length = _place(data, rng), rng.randint(1, 64)
  new = rng.choice((data[start:end], rng.randbytes(length), bytes(length), b'\xff' * length))
  return data[:at] + new + data[at:]


def _splice(data: bytes, rng: random.Random) -> bytes:
  start, end = _block(data, rng)
  at = _place(data, rng)
  return data[:at] + data[start:end] + data[at + end - start :]


def _zero(data: bytes, rng: random.Random) -> bytes:
  start, end = _block(data, rng)
  return data[:start] + bytes(end - start) + data[end:]


def _number(data: bytes, rng: random.Random) -> bytes:
  """Writes a number over another of 1, 2, 4 or 8 bytes, in either order."""
  width, at = rng.choice((1, 2, 4, 8)), _place(data, rng)
  value = rng.choice((*_NUMBERS, len(data), rng.getrandbits(63))) % 256**width
  return data[:at] + value.to_bytes(width, rng.choice(('little', 'big'))) + data[at + width :]


def _swap(data: bytes, rng: random.Random) -> bytes:
  """Exchanges two numbers, such as lengths."""
  width = rng.choice((1, 2, 4, 8))
  one, two = sorted((_place(data, rng), _place(data, rng)))
  if one + width > two:
    return data
  first, second = data[one : one + width], data[two : two + width]
  return data[:one] + second + data[one + width : two] + first + data[two + width :]


_BYTE_CHANGES = (_flip, _truncate, _remove, _insert, _splice, _zero, _number, _number, _swap)


def mutate_json(data: bytes, rng: random.Random) -> bytes:
  """Changes JSON one to three times by its structure, and writes it again.

  Raises:
    ValueError: it is no JSON.
  """
  tree, raw = json.loads(data), ''
  for _ in range(rng.randint(1, 3)):
    places = list(_places(tree))
    if not places:
      return rng.choice(_RAW).encode()
    holder, key = rng.choice(places)
    change = rng.choice(_JSON_CHANGES)
    if change is None:
      raw, holder[key] = rng.choice(_RAW), _RAW_MARK
    else:
      change(holder, key, rng, places)
  text = json.dumps(tree, ensure_ascii=rng.random() < 0.7)
  text = text.replace(f'"{_RAW_MARK}"', raw)
  if rng.random() < 0.05:
    return text.encode(rng.choice(('utf-16', 'utf-8-sig', 'utf-32')), 'surrogatepass')
  return text.encode('utf-8', 'surrogatepass')


def _places(tree: Any):
  """Yields (holder, key) of every value below the top of a tree, which may be a value itself."""
  if not isinstance(tree, dict | list):
    return
  items = tree.items() if isinstance(tree, dict) else enumerate(tree)
  for key, value in items:
    yield tree, key
    if isinstance(value, dict | list):
      yield from _places(value)


def _drop(holder: Any, key: Any, rng: random.Random, places: Any) -> None:
  del holder[key]


def _duplicate(holder: Any, key: Any, rng: random.Random, places: Any) -> None:
  value = copy.deepcopy(holder[key])
  if isinstance(holder, list):
    holder.insert(rng.randint(0, len(holder)), value)
  else:
    holder[rng.choice((f'{key} ', str(key).upper(), 'x'))] = value


def _retype(holder: Any, key: Any, rng: random.Random, places: Any) -> None:
  holder[key] = copy.deepcopy(rng.choice(_VALUES))


def _nest(holder: Any, key: Any, rng: random.Random, places: Any) -> None:
  for _ in range(rng.choice((1, 1, 2, 200))):
    holder[key] = [holder[key]] if rng.random() < 0.5 else {'a': holder[key]}


def _repeat(holder: Any, key: Any, rng: random.Random, places: Any) -> None:
  if isinstance(holder[key], list) and holder[key]:
    times = min(rng.choice((2, 10, 1000)), _LARGEST_LIST // len(holder[key]))
    holder[key] = holder[key] * max(times, 1)
  elif isinstance(holder[key], str):
    holder[key] = holder[key] * rng.choice((0, 2, 1000))


def _scale(holder: Any, key: Any, rng: random.Random, places: Any) -> None:
  """Makes a number another; text of a number likewise."""
  value = holder[key]
  if isinstance(value, int | float):
    factor = rng.choice((-1, 0, 2, 10, 1000, 10**6, 10**12, 0.5, 1e300))
    changed = rng.choice((value * factor, value + rng.choice((-1, 1, 0.25)), float(value)))
    holder[key] = changed
  elif isinstance(value, str) and value:
    at = rng.randrange(len(value))
    holder[key] = value[:at] + rng.choice(('', '0', '-', 'e9', ' ', 'z', '\t')) + value[at + 1 :]


def _copy(holder: Any, key: Any, rng: random.Random, places: Any) -> None:
  other, name = rng.choice(places)
  holder[key] = copy.deepcopy(other[name])


# None: text that no writer of JSON writes.
_JSON_CHANGES = (_drop, _duplicate, _retype, _retype, _nest, _repeat, _scale, _scale, _copy, None)


def mutate_json_lines(data: bytes, rng: random.Random) -> bytes:
  """Changes one line of JSON by its structure, or lines as `mutate_lines` does."""
  lines = data.splitlines(keepends=True)
  if rng.random() < 0.3 or not lines:
    return mutate_lines(data, rng)
  at = rng.randrange(len(lines))
  return b''.join((*lines[:at], mutate_json(lines[at], rng) + b'\n', *lines[at + 1 :]))


def mutate_lines(data: bytes, rng: random.Random) -> bytes:
  """Changes a text of lines one to three times: lines and the words in them."""
  for _ in range(rng.randint(1, 3)):
    lines = data.splitlines(keepends=True)
    if not lines:
      return rng.choice(_TOKENS)
    one, two = rng.randrange(len(lines)), rng.randrange(len(lines))
    what = rng.randrange(7)
    if what == 0:
      del lines[one]
    elif what == 1:
      lines.insert(two, lines[one])
    elif what == 2:
      lines[one], lines[two] = lines[two], lines[one]
    elif what == 3:
      lines[one] = lines[one] * rng.choice((2, 1000))
    elif what == 4:
      lines.insert(two, rng.choice(_TOKENS) + b'\n')
    else:
      lines[one] = _change_word(lines[one], rng)
    data = b''.join(lines)
  return data


def _change_word(line: bytes, rng: random.Random) -> bytes:
  separator = rng.choice((b' ', b'=', b',', b':', b'_'))
  words = line.split(separator)
  words[rng.randrange(len(words))] = rng.choice(_TOKENS)
  return separator.join(words)
