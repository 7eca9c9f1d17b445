"""Mutates files that are built of parts, and writes lengths and checksums anew.

Without that nearly every change of a PNG or an archive ends at a checksum, read no further.
"""

import functools
import io
import pickletools
import random
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import PurePosixPath

from experiments.recovery.mutations import (
  Mutator,
  mutate_bytes,
  mutate_json,
  mutate_json_lines,
  mutate_lines,
)

_PNG = b'\x89PNG\r\n\x1a\n'
_SIDES = (0, 1, 2, 255, 4097, 9000, 13_000, 20_000, 65_536, 2**31 - 1, 2**31)
_BOMB = 100_000_000  # What some hundreds of kilobytes unpack to.
_TEXTS = (b'tEXt', b'zTXt', b'iTXt', b'iCCP', b'eXIf', b'PLTE', b'tRNS', b'acTL', b'fcTL', b'gAMA')
_ARRAY_SHAPES = ('(1000000000000,)', '(-1,)', '(4294967296, 4294967296)', '()', '(0,)', "('a',)")
_ARRAY_TYPES = ('|O', '<f8', '<U100000000', '|V2147483647', '<c16', '>i4', 'no type')


def structure_of(name: str) -> Mutator | None:
  """Returns what knows how a file of this name is built; None for one of bytes alone."""
  path = PurePosixPath(name)
  return _BY_ENDING.get(path.suffix.lower()) or _BY_NAME.get(path.name)


def mutate_png(data: bytes, rng: random.Random) -> bytes:
  """Changes the parts of a PNG: their order, their content, sizes in the head, texts that unpack.

  Raises:
    ValueError: it is no PNG.
  """
  parts = _png_parts(data)
  at = rng.randrange(len(parts))
  kind, content = parts[at]
  what = rng.randrange(7)
  if what == 0 and kind != b'IHDR':
    del parts[at]
  elif what == 1:
    parts.insert(rng.randrange(1, len(parts) + 1), parts[at])
  elif what == 2:
    parts[at] = kind, mutate_bytes(content, rng)
  elif what == 3:
    width, height, *rest = struct.unpack('>IIBBBBB', parts[0][1][:13])
    sides = [rng.choice((width, rng.choice(_SIDES))), rng.choice((height, rng.choice(_SIDES)))]
    rest[rng.randrange(5)] = rng.choice((*rest, 0, 1, 2, 3, 4, 6, 8, 16))
    parts[0] = b'IHDR', struct.pack('>IIBBBBB', *sides, *rest)
  elif what == 4:
    content = rng.choice((rng.randbytes(rng.randint(0, 800)), b'a\0\0' + _bomb(), b'a\0' * 70))
    parts.insert(rng.randrange(1, len(parts)), (rng.choice(_TEXTS), content))
  elif what == 5:
    pixels = mutate_bytes(zlib.decompress(b''.join(c for k, c in parts if k == b'IDAT')), rng)
    parts = [p for p in parts if p[0] != b'IDAT']
    parts.insert(max(len(parts) - 1, 1), (b'IDAT', zlib.compress(pixels)))
  else:
    other = rng.randrange(1, len(parts))
    parts[at], parts[other] = (parts[other][0], content), (kind, parts[other][1])
  return _PNG + b''.join(
    struct.pack('>I', len(c)) + k + c + struct.pack('>I', zlib.crc32(k + c)) for k, c in parts
  )


def _png_parts(data: bytes) -> list[tuple[bytes, bytes]]:
  parts, at = [], len(_PNG)
  while at + 12 <= len(data):
    (length,) = struct.unpack('>I', data[at : at + 4])
    parts.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
    at += 12 + length
  if not data.startswith(_PNG) or len(parts) < 3 or len(parts[0][1]) < 13:
    raise ValueError('no PNG')
  return parts


@functools.cache
def _bomb() -> bytes:
  """Returns what unpacks to zeros, a thousand times as long."""
  packer, block = zlib.compressobj(9), bytes(10_000_000)
  return b''.join(packer.compress(block) for _ in range(_BOMB // len(block))) + packer.flush()


def mutate_zip(data: bytes, rng: random.Random) -> bytes:
  """Changes the files of an archive, arrays' heads above all; lists and checksums are right again.

  Raises:
    ValueError: it is no archive.
  """
  try:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
      files = [(info.filename, archive.read(info)) for info in archive.infolist()]
  except (zipfile.BadZipFile, NotImplementedError, OSError, zlib.error) as error:
    raise ValueError('no archive') from error
  at = rng.randrange(len(files))
  name, content = files[at]
  what = rng.randrange(5)
  if what == 0:
    del files[at]
  elif what == 1:
    files[at] = rng.choice(('', 'a', '../x.npy', f'{name}.npy', 'x' * 1000)), content
  elif what == 2 and content.startswith(b'\x93NUMPY'):
    files[at] = name, _array_head(content, rng)
  elif what == 3:
    files.append((rng.choice((name, 'more.npy')), bytes(_BOMB // 20)))
  else:
    mutator = structure_of(name) or mutate_bytes
    files[at] = name, mutator(content, rng)
  names = dict.fromkeys(name for name, _ in files)
  kept = [(name, [c for n, c in files if n == name][-1]) for name in names]  # ZIP warns of two.
  packed, method = io.BytesIO(), rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
  with zipfile.ZipFile(packed, 'w') as archive:
    for name, content in kept:
      # A file by its name alone: at whose time it was written changes nothing.
      archive.writestr(zipfile.ZipInfo(name), content, method)
  return packed.getvalue()


def _array_head(content: bytes, rng: random.Random) -> bytes:
  """Writes another shape or type into the head of a NumPy array."""
  length = int.from_bytes(content[8:10], 'little')
  head, rest = content[10 : 10 + length], content[10 + length :]
  if rng.random() < 0.5:
    start, end = head.index(b'('), head.index(b')') + 1
    new = rng.choice(_ARRAY_SHAPES).encode()
  else:
    start = head.index(b"'descr': '") + 10
    end, new = head.index(b"'", start), rng.choice(_ARRAY_TYPES).encode()
  head = head[:start] + new + head[end:]
  return content[:8] + len(head).to_bytes(2, 'little') + head + rest


def mutate_safetensors(data: bytes, rng: random.Random) -> bytes:
  """Changes the head of a .safetensors file, which is JSON; its length is right again.

  Raises:
    ValueError: it is no such file.
  """
  length = int.from_bytes(data[:8], 'little')
  head = mutate_json(data[8 : 8 + length], rng)
  return len(head).to_bytes(8, 'little') + head + data[8 + length :]


def mutate_pickle(data: bytes, rng: random.Random) -> bytes:
  """Drops, repeats and exchanges words of a pickle, and makes their arguments others.

  Raises:
    ValueError: it is no pickle.
  """
  starts = [at for _, _, at in pickletools.genops(data) if at is not None]
  words = [data[a:b] for a, b in zip(starts, [*starts[1:], len(data)], strict=True)]
  for _ in range(rng.randint(1, 3)):
    one, two = rng.randrange(len(words)), rng.randrange(len(words))
    what = rng.randrange(5)
    if what == 0:
      words[one] = b''
    elif what == 1:
      words.insert(two, words[one])
    elif what == 2:
      words[one], words[two] = words[two], words[one]
    elif what == 3:
      words[one] = words[one][:1] + mutate_bytes(words[one][1:], rng)
    else:
      number = rng.choice((0, 1, 70_000, 846_096_737, 2**32 - 1))
      words.insert(one, rng.choice((b'r', b'j', b'X', b'B', b'T')) + struct.pack('<I', number))
  return b''.join(words)


_BY_ENDING: Mapping[str, Mutator] = {
  '.png': mutate_png,
  '.npz': mutate_zip,
  '.pt': mutate_zip,
  '.safetensors': mutate_safetensors,
  '.pkl': mutate_pickle,
  '.json': mutate_json,
  '.jsonl': mutate_json_lines,
  '.txt': mutate_lines,
  '.toml': mutate_lines,
  '.yaml': mutate_lines,
}
# Of a checkpoint.
_BY_NAME: Mapping[str, Mutator] = {
  'metadata': mutate_json,
  '_METADATA': mutate_json,
  '_CHECKPOINT_METADATA': mutate_json,
  '_sharding': mutate_json,
}
