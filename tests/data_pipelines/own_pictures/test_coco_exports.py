"""COCO files as each tool writes them, against labels drawn by pycocotools and NumPy."""

import zlib

import numpy as np
import pytest

from data_pipelines.own_pictures.folder import Folder
from tests.coco_files import HOOK, LEAF, SPOT, drawn, image, layered, runs, save
from tests.facts import warned
from tests.own_pictures import SIZE

EXPECTED = layered((1, drawn(LEAF)), (2, drawn(SPOT)), (3, HOOK))
NAMES = ('leaf', 'spot', 'hook')


def annotations(image_id, *, first=1, rle=None, crowd=0, wrap=lambda p: [p], **more):
  """The three objects, with what the COCO format asks for beside their outlines."""
  rle = {'counts': runs(HOOK), 'size': list(SIZE)} if rle is None else rle
  return [
    {
      'id': 10 * zlib.crc32(str(image_id).encode()) + i,
      'image_id': image_id,
      'category_id': first + i,
      'segmentation': outline,
      'area': 1.0,
      'bbox': [0.0, 0.0, 32.0, 24.0],
      'iscrowd': crowd if isinstance(outline, dict) else 0,
      **more,
    }
    for i, outline in enumerate([wrap(LEAF), wrap(SPOT), rle])
  ]


def categories(first=1, **more):
  return [{'id': first + i, 'name': name, **more} for i, name in enumerate(NAMES)]


def save_cvat(folder):
  """COCO 1.0 of CVAT: a folder and a file for each subset; brushed masks are stored as crowds."""
  for subset, stem in (('default', 'a'), ('more', 'b')):
    known = {'license': 0, 'flickr_url': '', 'coco_url': '', 'date_captured': 0}
    content = {
      'licenses': [{'name': '', 'id': 0, 'url': ''}],
      'info': {'contributor': '', 'date_created': '', 'description': '', 'url': '', 'version': ''},
      'categories': categories(supercategory=''),
      'images': [image(1, f'{stem}.jpg', **known)],
      'annotations': annotations(1, crowd=1, attributes={'occluded': False}),
    }
    save(
      folder / 'annotations' / f'instances_{subset}.json',
      content,
      folder / 'images' / subset / f'{stem}.jpg',
    )
  return {'images/default/a.jpg', 'images/more/b.jpg'}, ['2 files']


def save_roboflow(folder):
  """COCO Segmentation of Roboflow: three folders, and a category over the others."""
  for split, stem in (('train', 'a_jpg.rf.1f'), ('valid', 'b_jpg.rf.2e'), ('test', 'c_jpg.rf.3d')):
    content = {
      'info': {'year': '2024', 'version': '1', 'description': 'Exported from roboflow.com'},
      'licenses': [{'id': 1, 'url': '', 'name': 'CC BY 4.0'}],
      'categories': [
        {'id': 0, 'name': 'leaves', 'supercategory': 'none'},
        *categories(supercategory='leaves'),
      ],
      'images': [image(0, f'{stem}.jpg', license=1, date_captured='2024', extra={'name': 'a.jpg'})],
      'annotations': annotations(0, rle={'counts': runs(HOOK), 'size': list(SIZE)}),
    }
    save(folder / split / '_annotations.coco.json', content, folder / split / f'{stem}.jpg')
  (folder / 'README.dataset.txt').write_text('# leaves\n\nhttps://universe.roboflow.com')
  (folder / 'README.roboflow.txt').write_text('1 x 2')
  names = {'train/a_jpg.rf.1f.jpg', 'valid/b_jpg.rf.2e.jpg', 'test/c_jpg.rf.3d.jpg'}
  return names, ["['leaves']"]


def save_label_studio(folder):
  """COCO of Label Studio: all ids from 0; pictures as they were downloaded, or as they were."""
  content = {
    'images': [
      image(0, 'images\\0f2a-a.jpg'),
      image(1, '../../label-studio/data/media/upload/1/77-b.jpg'),
      image(2, '/data/local-files/?d=photos/c%20d.jpg'),
    ],
    'categories': categories(0),
    'annotations': sum((annotations(i, first=0, ignore=0) for i in range(3)), []),
    'info': {'year': 2024, 'version': '1.0', 'description': '', 'contributor': 'Label Studio'},
  }
  names = [f'images/{name}.jpg' for name in ('0f2a-a', '77-b', 'c d')]
  save(folder / 'result.json', content, *(folder / name for name in names))
  return set(names), []


def save_via(folder):
  """COCO of VIA 2: a polygon is flat, ids of images are text in one place; no run lengths."""
  rows = annotations('1', wrap=lambda p: p)
  rows[2]['segmentation'] = [4, 4, 9, 4, 9, 9]
  content = {
    'info': {'year': 2024, 'version': '1', 'description': 'Exported using VGG Image Annotator'},
    'images': [image(1, 'a.jpg', license=0, flickr_url='', coco_url='', date_captured='')],
    'annotations': rows,
    'licenses': [{'id': 0, 'name': 'Unknown License', 'url': ''}],
    'categories': categories(supercategory='type'),
  }
  save(folder / 'via_export_coco.json', content, folder / 'a.jpg')
  return {'a.jpg'}, []


def save_supervisely(folder):
  """Export to COCO mask of Supervisely: a folder for each data set of the project."""
  for stem in 'ab':
    content = {
      'info': {'description': '', 'url': 'None', 'version': '1.0', 'contributor': 'Supervisely'},
      'licenses': [{'url': 'None', 'id': 0, 'name': 'None'}],
      'images': [image(7, f'{stem}.jpg', license='None', url='None')],
      'annotations': annotations(7),
      'categories': [{'supercategory': n, 'id': i + 1, 'name': n} for i, n in enumerate(NAMES)],
    }
    home = folder / f'ds{stem}'
    save(home / 'annotations' / 'instances.json', content, home / 'images' / f'{stem}.jpg')
  return {'dsa/images/a.jpg', 'dsb/images/b.jpg'}, ['2 files']


def save_v7(folder):
  """COCO of V7 Darwin: a mask is a crowd, its size width first; ids are checksums."""
  known = {'license': 0, 'coco_url': 'n/a', 'flickr_url': 'n/a', 'tag_ids': []}
  content = {
    'info': {'description': 'Exported from Darwin', 'url': 'n/a', 'year': 2024},
    'licenses': [{'url': 'n/a', 'id': 0, 'name': 'placeholder license'}],
    'images': [image(3071, 'a.jpg', **known)],
    'annotations': annotations(
      3071, rle={'counts': runs(HOOK), 'size': [SIZE[1], SIZE[0]]}, crowd=1, extra={}
    ),
    'categories': categories(supercategory='root'),
    'tag_categories': [],
  }
  save(folder / 'output.json', content, folder / 'images' / 'a.jpg')
  return {'images/a.jpg'}, []


TOOLS = [save_cvat, save_roboflow, save_label_studio, save_supervisely, save_v7]


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('save_export', TOOLS)
def test_an_export_is_read_as_it_is_drawn(tmp_path, save_export):
  names, facts = save_export(tmp_path)
  if facts:
    with warned(*facts):
      Folder(tmp_path)
  folder = Folder(tmp_path)
  assert set(folder.image_names()) == names and folder.class_names == NAMES
  for name in names:
    np.testing.assert_array_equal(folder.load(name)[1], EXPECTED)


def test_flat_polygons_of_via(tmp_path):
  save_via(tmp_path)
  hook = drawn([4, 4, 9, 4, 9, 9])
  np.testing.assert_array_equal(
    Folder(tmp_path).load('a.jpg')[1], layered((1, drawn(LEAF)), (2, drawn(SPOT)), (3, hook))
  )
