"""Writes what was found, as JSON with run lengths or PNGs or as one PNG; and the list of routes."""

import base64
import html
import io
import json
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from pydantic import BaseModel

from experiments.serving.segmenting import Segmented

Form = Literal['rle', 'png']


class RunLengths(BaseModel):
  """Holds a mask as COCO's compressed run lengths, which pycocotools decodes."""

  size: tuple[int, int]
  counts: str


class FoundClass(BaseModel):
  """Holds what was found of one class; its mask is what no other class has."""

  name: str
  area: int
  confidence: float
  presence: float
  mask: RunLengths | str


class Answer(BaseModel):
  """Holds what was found in a picture; `mask`, `area` and the figures are of all classes."""

  width: int
  height: int
  area: int
  confidence: float
  presence: float
  mask: RunLengths | str
  classes: list[FoundClass]


class Problem(BaseModel):
  """Holds what is wrong with a request, in one line."""

  detail: str


def write_json(found: Segmented, *, form: Form) -> bytes:
  """Writes the answer as JSON.

  Args:
    found: in one picture.
    form: of the masks: 'rle', COCO's run lengths, or 'png', base64 of a PNG, 255 on the object.
  """
  write = _run_lengths if form == 'rle' else _png_text
  label, areas = found.label, [one.area for one in found.classes]
  total = sum(one.area * one.confidence for one in found.classes)
  classes = [
    FoundClass(**one._asdict(), mask=write((label == number).view(np.uint8)))
    for number, one in enumerate(found.classes, 1)
  ]
  answer = Answer(
    width=label.shape[1],
    height=label.shape[0],
    area=sum(areas),
    confidence=total / max(sum(areas), 1),
    presence=max(one.presence for one in found.classes),
    mask=classes[0].mask if len(classes) == 1 else write((label > 0).view(np.uint8)),
    classes=classes,
  )
  return answer.model_dump_json().encode()


def write_png(found: Segmented) -> bytes:
  """Writes a mask: of one class 255 on the object, of several the number of each."""
  return _png(found.label * np.uint8(255) if len(found.classes) == 1 else found.label)


def _png(array: UInt8[np.ndarray, 'h w']) -> bytes:
  out = io.BytesIO()
  Image.fromarray(array).save(out, 'PNG', compress_level=3)
  return out.getvalue()


def _png_text(mask: UInt8[np.ndarray, 'h w']) -> str:
  return base64.b64encode(_png(mask * np.uint8(255))).decode()


def _run_lengths(mask: UInt8[np.ndarray, 'h w']) -> RunLengths:
  from pycocotools import mask as coder

  encoded: Any = coder.encode(np.asfortranarray(mask))
  return RunLengths(size=encoded['size'], counts=encoded['counts'].decode())


def write_page(description: Mapping[str, Any]) -> str:
  """Lists the routes of the service for a reader: one page of HTML that loads nothing.

  Args:
    description: the service's OpenAPI.
  """
  about = description['info']
  parts = [f'<h1>{_text(about["title"])} {_text(about["version"])}</h1>']
  parts += [f'<p>{_text(about.get("description", ""))}</p>']
  for path, methods in description['paths'].items():
    for method, route in methods.items():
      parts += _route(f'{method.upper()} {path}', route)
  parts.append('<h2>What the answers and JSON bodies hold</h2>')
  for name, schema in description.get('components', {}).get('schemas', {}).items():
    parts.append(f'<h3 id="{_text(name)}">{_text(name)}</h3>{_pre(schema)}')
  parts.append('<p>All of this for programs: <a href="/openapi.json">/openapi.json</a></p>')
  return (
    f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{_text(about["title"])}</title>'
    f'<meta name="viewport" content="width=device-width"><body>{"".join(parts)}</body></html>'
  )


def _route(heading: str, route: Mapping[str, Any]) -> list[str]:
  parts = [f'<h2>{_text(heading)}</h2><p>{_text(route.get("description", ""))}</p>']
  rows = [
    (one['name'], one['in'], _kind(one['schema']), one.get('description', ''))
    for one in route.get('parameters', ())
  ]
  parts.append(_table('Parameters', rows))
  body = route.get('requestBody', {}).get('content', {})
  parts.append(_table('Bodies', [(kind, _kind(one['schema'])) for kind, one in body.items()]))
  answers = [
    (status, ', '.join(one.get('content', {})), one['description'])
    for status, one in route['responses'].items()
  ]
  parts.append(_table('Answers', answers))
  return parts


def _kind(schema: Mapping[str, Any]) -> str:
  return json.dumps({key: value for key, value in schema.items() if key != 'title'})


def _table(caption: str, rows: list[tuple[str, ...]]) -> str:
  if not rows:
    return ''
  body = ''.join(f'<tr>{"".join(f"<td>{_text(cell)}</td>" for cell in row)}</tr>' for row in rows)
  return f'<table><caption>{caption}</caption>{body}</table>'


def _pre(schema: Mapping[str, Any]) -> str:
  return f'<pre>{_text(json.dumps(schema, indent=1))}</pre>'


def _text(value: object) -> str:
  return html.escape(str(value))
