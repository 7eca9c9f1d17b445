"""Reads what a request brings: a picture alone, parts of a form, or JSON with base64.

Nothing is believed of a body but its bytes: names of files are not looked at, and pictures are
recognized by what they hold.
"""

import base64
import binascii
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

from fastapi import Request
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from data_pipelines.reading.images import Encoded, read_image
from experiments.serving.engine import Support
from hsnet_jax.errors import InputError

MOST_SUPPORTS = 16
# Pillow hands PostScript to Ghostscript, which runs it: no format is read but these.
_FORMATS = ('JPEG', 'MPO', 'PNG', 'WEBP', 'TIFF', 'GIF', 'BMP', 'PPM', 'JPEG2000', 'AVIF', 'HEIF')
_ONE_CLASS = 'object'
_PICTURES = ('image', 'support_images', 'support_masks')
_FILE = {'type': 'string', 'format': 'binary'}
_NAME = {'type': 'string', 'minLength': 1, 'maxLength': 200}
_BASE64: Any = {'format': 'byte'}
_RAW = ('image/*', 'application/octet-stream')


class Given(NamedTuple):
  """Holds what a request brings.

  Attributes:
    image: the picture to segment.
    supports: what to find in it; empty where the service knows.
  """

  image: Encoded
  supports: tuple[Support, ...]


class GivenJson(BaseModel):
  """Holds a request as JSON; files are in base64."""

  model_config = ConfigDict(extra='forbid')

  image: str = Field(json_schema_extra=_BASE64)
  support_images: list[str] = Field([], max_length=MOST_SUPPORTS)
  support_masks: list[str] = Field([], max_length=MOST_SUPPORTS)
  classes: list[str] = Field([], max_length=MOST_SUPPORTS)


def schema() -> dict[str, Any]:
  """Returns the OpenAPI description of the bodies."""
  many = {'type': 'array', 'maxItems': MOST_SUPPORTS}
  form = {
    'type': 'object',
    'required': ['image'],
    'additionalProperties': False,
    'properties': {
      'image': _FILE,
      'support_images': {**many, 'items': _FILE},
      'support_masks': {**many, 'items': _FILE},
      'classes': {**many, 'items': _NAME},
    },
  }
  content: dict[str, Any] = {kind: {'schema': _FILE} for kind in _RAW}
  content['multipart/form-data'] = {'schema': form}
  content['application/json'] = {'schema': GivenJson.model_json_schema()}
  return {'required': True, 'content': content}


async def read_body(request: Request) -> Given:
  """Reads a body by its type.

  Raises:
    HTTPException: 400 where it is damaged, 415 where it is of another type.
    InputError: a part of it is missing or too much.
  """
  kind = request.headers.get('content-type', '').partition(';')[0].strip().lower()
  if kind == 'multipart/form-data':
    parts = await _read_form(request)
  elif kind == 'application/json':
    parts = _read_json(await request.body())
  elif kind == 'application/octet-stream' or kind.startswith('image/') or not kind:
    parts = {'image': [await request.body()]}
  else:
    raise HTTPException(
      415, 'send a picture (Content-Type: image/jpeg), a form (multipart/form-data) or JSON'
    )
  return _joined(parts)


def check_heads(given: Given, *, most: int) -> None:
  """Looks at the heads of all pictures; their pixels are not decoded.

  Args:
    given: what has come.
    most: pixels that a longer side may have.

  Raises:
    InputError: one is no picture, of a format that is not read here, or too large.
  """
  for one in (given.image, *(part for pair in given.supports for part in pair[:2])):
    kind, (width, height) = _head(one)
    if kind not in _FORMATS:
      raise InputError(f'{one}: {kind} is not read here; send JPEG, PNG, WebP or TIFF')
    if max(height, width) > most:
      raise InputError(f'{one}: {width} x {height} pixels; at most {most} a side are taken')


def _head(one: Encoded) -> tuple[str | None, tuple[int, int]]:
  """Returns format and size of a picture."""
  try:
    with Image.open(io.BytesIO(one.data)) as image:
      return image.format, image.size
  except Exception:  # What is wrong the reader says; or nothing is, but for notes in a PNG.
    height, width = read_image(one).shape[:2]
    return 'PNG', (width, height)


async def _read_form(request: Request) -> dict[str, list[Any]]:
  parts: dict[str, list[Any]] = {}
  most = 2 * MOST_SUPPORTS + 1
  try:
    async with request.form(max_files=most, max_fields=MOST_SUPPORTS) as form:
      for name, value in form.multi_items():
        is_file = isinstance(value, UploadFile)
        if name not in (*_PICTURES, 'classes') or is_file != (name in _PICTURES):
          raise InputError(f'{name[:50]!r}: {_about(name)}')
        parts.setdefault(name, []).append(await value.read() if is_file else value)
  except (HTTPException, InputError, OSError):
    raise
  except Exception as error:  # The parser raises nearly anything on a damaged form.
    raise HTTPException(400, 'the form is damaged') from error
  return parts


def _about(name: str) -> str:
  if name == 'classes':
    return 'is a text, not a file'
  if name in _PICTURES:
    return "is a file: with curl, -F 'image=@picture.jpg'"
  return f'no such part; there are {", ".join((*_PICTURES, "classes"))}'


def _read_json(body: bytes) -> dict[str, list[Any]]:
  try:
    found = GivenJson.model_validate_json(body)
  except ValidationError as error:
    raise InputError(first_line(error.errors(include_url=False))) from error
  parts: dict[str, list[Any]] = {
    'classes': found.classes,
    'image': [_decoded(found.image, 'image')],
  }
  for name in _PICTURES[1:]:
    parts[name] = [_decoded(x, f'{name}[{i}]') for i, x in enumerate(getattr(found, name))]
  return parts


def first_line(errors: Sequence[Any]) -> str:
  """Returns the first of pydantic's errors in one line."""
  where = '.'.join(str(part)[:50] for part in errors[0]['loc'])
  return f'{where or "the body"}: {errors[0]["msg"]}'


def _decoded(text: str, name: str) -> bytes:
  try:
    return base64.b64decode(text, validate=True)
  except (binascii.Error, ValueError) as error:
    raise InputError(f'{name}: no base64') from error


def _joined(parts: dict[str, list[Any]]) -> Given:
  """Makes pictures and supports of the parts of a body."""
  images, masks, names = (parts.get(x, []) for x in ('support_images', 'support_masks', 'classes'))
  if len(parts.get('image', [])) != 1:
    raise InputError('image: give one picture')
  if len(images) != len(masks) or len(images) > MOST_SUPPORTS:
    raise InputError(
      f'{len(images)} support_images and {len(masks)} support_masks: give each picture its mask,'
      f' {MOST_SUPPORTS} at most'
    )
  if names and len(names) != len(images):
    raise InputError(f'{len(names)} classes for {len(images)} support_images: one for each')
  for name in names:
    if not (name and name.isprintable() and len(name) <= 200):
      raise InputError('classes: names have 1 to 200 characters that can be printed')
  supports = [
    Support(Encoded(image, f'support_images[{i}]'), Encoded(mask, f'support_masks[{i}]'), name)
    for i, (image, mask, name) in enumerate(
      zip(images, masks, names or [_ONE_CLASS] * len(images), strict=True)
    )
  ]
  return Given(Encoded(parts['image'][0], 'image'), tuple(supports))
