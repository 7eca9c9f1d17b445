"""Marks of files: what the program wrote and nobody changed may be replaced, by the same alone."""

import json

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from experiments.storage import results

OF = {'command': 'predict', 'step': 3, 'shots': (1, 5)}
OTHER = {**OF, 'step': 4}


def image(mode='L'):
  shape = (30, 20) if mode == 'L' else (30, 20, 3)
  return Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, np.uint8))


@pytest.mark.parametrize('mode', ['L', 'RGB'])
def test_an_unchanged_png_may_be_replaced_by_the_same_alone(tmp_path, mode):
  path = tmp_path / 'new' / 'a.png'
  assert results.may_write(path, of=OF) and not results.is_marked(path)
  results.write_png(path, image(mode), of=OF)
  assert [p.name for p in path.parent.iterdir()] == ['a.png'], 'a PNG carries its mark'
  with Image.open(path) as written:
    np.testing.assert_array_equal(written, image(mode))
  assert results.find_mark(path) == results.Mark({**OF, 'shots': [1, 5]}, True)
  assert results.may_write(path, of=OF)
  assert not results.may_write(path, of=OTHER)


def draw_on(path):
  with Image.open(path) as opened:
    changed = opened.copy()
  changed.putpixel((3, 4), 255 - changed.getpixel((3, 4)))
  fields = PngInfo()
  for name, text in changed.info.items():
    fields.add_text(name, text)
  changed.save(path, pnginfo=fields)


def save_without_text(path):
  with Image.open(path) as opened:
    Image.fromarray(np.asarray(opened)).save(path)


def comment_on(path):
  with Image.open(path) as opened:
    fields = PngInfo()
    for name, text in (*opened.info.items(), ('Comment', 'checked by Ann')):
      fields.add_text(name, text)
    opened.save(path, pnginfo=fields)


def save_with(**options):
  """Makes a change that keeps the pixels and the text, and adds what a program may add."""

  def save(path):
    with Image.open(path) as opened:
      fields = PngInfo()
      for name, text in opened.info.items():
        fields.add_text(name, text)
      opened.save(path, pnginfo=fields, **options)

  return save


EXIF = Image.Exif()
EXIF[0x010E] = 'checked by Ann'  # ImageDescription.


def save_as_jpeg(path):
  with Image.open(path) as opened:
    opened.convert('L').save(path, 'JPEG')


@pytest.mark.parametrize(
  'change, marked',
  [
    (draw_on, True),
    (comment_on, True),
    (save_with(exif=EXIF), True),
    (save_with(icc_profile=b'a profile'), True),
    (lambda path: path.write_bytes(path.read_bytes()[:-60]), True),
    (save_without_text, False),
    (save_as_jpeg, False),
    (lambda path: path.write_text('mine'), False),
    (lambda path: path.unlink() or path.mkdir(), False),
    (lambda path: path.unlink() or path.symlink_to('nowhere'), False),
  ],
)
def test_a_png_that_a_person_changed_is_never_replaced(tmp_path, change, marked):
  path = tmp_path / 'a.png'
  results.write_png(path, image(), of=OF)
  change(path)
  assert not results.may_write(path, of=OF)
  found = results.find_mark(path)
  assert found is None or not found.unchanged
  assert results.is_marked(path) == marked


def test_an_editor_that_keeps_text_and_pixels_changes_nothing(tmp_path):
  path = tmp_path / 'a.png'
  results.write_png(path, image(), of=OF)
  with Image.open(path) as opened:
    fields = PngInfo()
    for name, text in opened.info.items():
      fields.add_itxt(name, text)
    opened.save(path, pnginfo=fields, compress_level=1)
  assert results.may_write(path, of=OF)


def test_other_files_have_their_marks_in_the_folder(tmp_path):
  table, report = tmp_path / 'a.csv', tmp_path / 'b.json'
  for path, of in ((table, OF), (report, OTHER)):
    path.write_text(f'of {path.name}')
    assert not results.may_write(path, of=of), 'not marked yet'
    results.mark(path, of=of)
  assert results.may_write(table, of=OF) and results.may_write(report, of=OTHER)
  assert not results.may_write(table, of=OTHER)
  table.write_text('changed in a spreadsheet')
  assert not results.may_write(table, of=OF) and results.is_marked(table)
  assert results.may_write(report, of=OTHER), 'the other is as it was'
  report.unlink()
  assert results.may_write(report, of=OF) and not results.is_marked(report)


@pytest.mark.parametrize(
  'text', ['', '[]', '{"files": 3}', '{"files": {"a.csv": [1]}}', '\0', '[' * 99999]
)
def test_damaged_marks_are_none(tmp_path, text):
  path = tmp_path / 'a.csv'
  path.write_text('1')
  (tmp_path / results.MARKS).write_text(text)
  assert not results.is_marked(path) and not results.may_write(path, of=OF)
  results.mark(path, of=OF)
  assert results.may_write(path, of=OF)


def test_damaged_text_of_a_png_is_no_mark(tmp_path):
  path = tmp_path / 'a.png'
  for text in ('', '[]', '{"of": 3}', json.dumps({'of': {}})):
    fields = PngInfo()
    fields.add_text('hsnet_jax', text)
    image().save(path, pnginfo=fields)
    assert not results.may_write(path, of={})


def test_results_that_belong_together_get_one_number(tmp_path):
  mask, overlay = tmp_path / 'a_predicted.png', tmp_path / 'a_overlay.png'

  def paths_of(number):
    return [results.numbered(mask, number), results.numbered(overlay, number)]

  def write(of):
    number = results.find_place(paths_of, of=of)
    for path in paths_of(number):
      results.write_png(path, image(), of=of)
    return number

  assert [write(of) for of in (OF, OTHER, OF, OTHER)] == [1, 2, 1, 2]
  assert results.numbered(mask, 2) == tmp_path / 'a_predicted-2.png'
  draw_on(overlay)
  before = overlay.read_bytes()
  assert [write(of) for of in (OF, OTHER, OF)] == [3, 2, 3]
  assert overlay.read_bytes() == before
  assert results.numbered(tmp_path / 'evaluation', 3) == tmp_path / 'evaluation-3'
