"""LabelMe's XML as CVAT writes it, against labels drawn by pycocotools and NumPy."""

import numpy as np
import pytest
from PIL import Image

from data_pipelines.own_pictures.folder import Folder
from tests.coco_files import HOOK, LEAF, SPOT, drawn, layered
from tests.facts import refused
from tests.own_pictures import SIZE, save_photo

POINT = '<pt>\n<x>{:.2f}</x>\n<y>{:.2f}</y>\n</pt>\n'
OBJECT = """  <object>
    <name>{name}</name>
    <deleted>{deleted}</deleted>
    <verified>0</verified>
    <occluded>no</occluded>
    <date></date>
    <id>{i}</id>
    <parts>
      <hasparts></hasparts>
      <ispartof></ispartof>
    </parts>
    {shape}
    <attributes></attributes>
  </object>
"""
FILE = """<annotation>
  <filename>{stem}.jpg</filename>
  <folder>{folder}</folder>
  <source>
    <sourceImage></sourceImage>
    <sourceAnnotation>Datumaro</sourceAnnotation>
  </source>
  <imagesize>
    <nrows>{size[0]}</nrows>
    <ncols>{size[1]}</ncols>
  </imagesize>
{objects}</annotation>
"""


def polygon(flat):
  points = ''.join(POINT.format(x, y) for x, y in zip(flat[::2], flat[1::2], strict=True))
  return f'<polygon>\n{points}<username></username>\n</polygon>'


def segm(name):
  box = '<box><xmin>10.00</xmin><ymin>2.00</ymin><xmax>29.00</xmax><ymax>19.00</ymax></box>'
  return f'<segm>\n<mask>{name}</mask>\n{box}\n<username></username>\n</segm>'


def text(*objects, stem='a', folder='', size=SIZE):
  """A file's text, of (name, shape), or (name, shape, '1') of what is deleted."""
  return FILE.format(
    stem=stem,
    folder=folder,
    size=size,
    objects=''.join(
      OBJECT.format(i=i, name=name, shape=shape, deleted=''.join(deleted) or 0)
      for i, (name, shape, *deleted) in enumerate(objects)
    ),
  )


def save(folder, *objects, stem='a', **more):
  save_photo(folder / f'{stem}.jpg')
  (folder / f'{stem}.xml').write_text(text(*objects, stem=stem, **more), encoding='utf-8')
  return folder


def save_mask(path, mask):
  path.parent.mkdir(parents=True, exist_ok=True)
  colors = np.array([[0, 0, 0, 0], [255, 203, 0, 153]], np.uint8)
  Image.fromarray(colors[mask]).save(path)


ALL = [('leaf', polygon(LEAF)), ('spot', polygon(SPOT)), ('hook', segm('a_mask_2.png'))]


@pytest.fixture
def export(tmp_path):
  """LabelMe 3.0 of CVAT: a folder for each subset, with the masks of the brush in `Masks`."""
  save(tmp_path / 'default', *ALL)
  save_mask(tmp_path / 'default' / 'Masks' / 'a_mask_2.png', HOOK)
  save(tmp_path / 'more', ALL[0], ('spot', polygon(SPOT), '1'), stem='b')
  save(tmp_path / 'more', stem='c')
  return tmp_path


def test_an_export_is_read_as_it_is_drawn(export):
  folder = Folder(export)
  assert folder.class_names == ('hook', 'leaf', 'spot')
  assert sorted(folder.image_names()) == ['default/a.jpg', 'more/b.jpg']
  expected = layered((2, drawn(LEAF)), (3, drawn(SPOT)), (1, HOOK))
  np.testing.assert_array_equal(folder.load('default/a.jpg')[1], expected)
  np.testing.assert_array_equal(folder.load('more/b.jpg')[1], 2 * drawn(LEAF))


def test_the_layout_of_the_tool_on_the_web(tmp_path):
  save_photo(tmp_path / 'Images' / 'street' / 'a.jpg')
  path = tmp_path / 'Annotations' / 'street' / 'a.xml'
  path.parent.mkdir(parents=True)
  content = text(('leaf', polygon(LEAF)), folder='street').replace('\n', '')
  sized = '<imagesize><nrows>24</nrows><ncols>32</ncols></imagesize>'
  path.write_text(content.replace(sized, '').replace('Datumaro', 'LabelMe Webtool'))
  np.testing.assert_array_equal(Folder(tmp_path).load('Images/street/a.jpg')[1], drawn(LEAF))


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>\n'


@pytest.mark.parametrize(
  ('content', 'facts'),
  [
    (BOMB + text(('leaf', polygon(LEAF))), ['DOCTYPE']),
    (text(('leaf', polygon(LEAF)))[:-20], ['XML']),
    (text(('', polygon(LEAF))), ['object 1', 'name']),
    (text(('leaf', polygon(LEAF[:4]))), ['object 1 (leaf)', '2 points']),
    (text(('leaf', polygon(LEAF).replace('4.50', 'x'))), ['object 1 (leaf)', 'numbers']),
    (text(('leaf', segm('../a.png'))), ['object 1 (leaf)', 'mask']),
    (text(('leaf', polygon(LEAF)), stem='../a'), ["'../a.jpg'"]),
    (text(('leaf', polygon(LEAF)), stem='z'), ['z.jpg']),
    ('<?xml version="1.0" encoding="what"?>' + text(('leaf', polygon(LEAF))), ['XML']),
    ('<annotations/><!-- <polygon> -->', ['LabelMe']),
  ],
)
def test_a_file_that_cannot_be_read_is_named(export, content, facts):
  (export / 'more' / 'd.xml').write_text(content)
  with refused('d.xml', *facts):
    Folder(export)


def test_a_doctype_in_another_encoding_is_refused_too(export):
  (export / 'more' / 'd.xml').write_text(BOMB + text(ALL[0]), encoding='utf-16')
  with refused('d.xml', 'DOCTYPE'):
    Folder(export)


@pytest.mark.parametrize(
  ('objects', 'facts'),
  [
    ([('leaf', segm('none.png'))], ['object 1 (leaf)', 'none.png']),
    ([('leaf', segm('small.png'))], ['object 1 (leaf)', '9 x 8', '32 x 24']),
    ([('leaf', segm('text.png'))], ['object 1 (leaf)', 'text.png']),
    ([('leaf', polygon([1, 2, 3, 4, 1e7, 9]))], ['object 1 (leaf)', '32 x 24']),
    ([('leaf', polygon([1, 2, 3, 4, float('nan'), 9]))], ['object 1 (leaf)', '32 x 24']),
    ([('leaf', polygon(LEAF)), ('spot', polygon([-9, -9, -7, -9, -7, -7]))], ["'spot'", 'none']),
  ],
)
def test_what_cannot_be_drawn_is_named(export, objects, facts):
  save(export / 'more', *objects, stem='d')
  save_mask(export / 'more' / 'Masks' / 'small.png', np.ones((8, 9), np.uint8))
  (export / 'more' / 'Masks' / 'text.png').write_text('no picture')
  with refused('d.xml', *facts):
    Folder(export).load('more/d.jpg')


def test_a_file_of_another_size(export):
  save(export / 'more', ALL[0], stem='d', size=(99, 98))
  with refused('d.xml', '98 x 99', 'd.jpg'):
    Folder(export).load('more/d.jpg')
