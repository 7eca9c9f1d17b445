"""COCO files as each tool writes them, against labels drawn by pycocotools and NumPy."""

import itertools
import json
import zlib

import numpy as np
import pytest
from pycocotools import mask as coder

from data_pipelines.own_pictures.folder import Folder
from tests.facts import refused, warned
from tests.own_pictures import SIZE, box, polygon, save_photo

# A triangle with fractions, a box across its corner of fewer pixels, a hook of fewer still.
LEAF = [4.5, 3.25, 27.75, 6.5, 9.25, 21.0]
SPOT = polygon((4, 6, 12, 14))
HOOK = np.zeros(SIZE, np.uint8)
HOOK[2:20, 10] = HOOK[2, 10:30] = 1


def runs(mask):
  """Run lengths that are not compressed, which begin with background."""
  groups = [(value, len(list(run))) for value, run in itertools.groupby(mask.ravel(order='F'))]
  return [0] * int(groups[0][0]) + [length for _, length in groups]


def drawn(*polygons):
  return coder.decode(coder.merge(coder.frPyObjects([list(p) for p in polygons], *SIZE))) > 0


def layered(*objects):
  """The oracle: (value, mask), from the one of the most pixels to the one of the fewest."""
  label = np.zeros(SIZE, np.uint8)
  for value, mask in sorted(objects, key=lambda o: -np.count_nonzero(o[1])):
    label[mask > 0] = value
  return label


EXPECTED = layered((1, drawn(LEAF)), (2, drawn(SPOT)), (3, HOOK))
NAMES = ('leaf', 'spot', 'hook')


def image(number, name, **more):
  return {'id': number, 'width': SIZE[1], 'height': SIZE[0], 'file_name': name, **more}


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


def save(path, content, *photos):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(json.dumps(content))
  for photo in photos:
    save_photo(photo)


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


def content(*outlines, **more):
  """A file of one picture with objects of a class of its own each."""
  return {
    'images': [image(1, 'a.jpg')],
    'categories': [{'id': i, 'name': f'c{i}'} for i in range(len(outlines))],
    'annotations': [
      {'image_id': 1, 'category_id': i, 'segmentation': outline, **more}
      for i, outline in enumerate(outlines)
    ],
  }


def pairs(flat):
  return [list(pair) for pair in zip(flat[::2], flat[1::2], strict=True)]


COMPRESSED = {
  'size': list(SIZE),
  'counts': coder.encode(np.asfortranarray(HOOK))['counts'].decode(),
}


@pytest.mark.parametrize(
  ('outline', 'expected'),
  [
    (SPOT, drawn(SPOT)),
    (pairs(LEAF), drawn(LEAF)),
    ([pairs(LEAF), SPOT], drawn(LEAF, SPOT)),
    ([LEAF, [1, 2, 3, 4], SPOT], drawn(LEAF, SPOT)),
    ([LEAF, []], drawn(LEAF)),
    (COMPRESSED, HOOK),
    ([COMPRESSED], HOOK),
    ({'size': list(SIZE), 'counts': runs(HOOK)}, HOOK),
    ({'size': list(SIZE), 'counts': runs(1 - HOOK)}, 1 - HOOK),
  ],
)
def test_outlines_of_every_form(tmp_path, outline, expected):
  save(tmp_path / 'a.json', content(outline), tmp_path / 'a.jpg')
  np.testing.assert_array_equal(Folder(tmp_path).load('a.jpg')[1], expected)


@pytest.mark.parametrize(
  ('outline', 'facts'),
  [
    (None, ['no outline', 'box']),
    ([], ['no outline', 'box']),
    ([[1, 2, 3, 4]], ['3 points']),
    ([1, 2, 3, 4], ['3 points']),
    ({'counts': [1]}, ['size or counts']),
  ],
)
def test_annotations_without_an_outline_are_named(tmp_path, outline, facts):
  save(tmp_path / 'a.json', content([LEAF], outline), tmp_path / 'a.jpg')
  with refused('a.json', 'a.jpg', *facts):
    Folder(tmp_path)
  rows = content([LEAF], outline)
  if outline is None:
    del rows['annotations'][1]['segmentation']
    save(tmp_path / 'a.json', rows)
    with refused('a.json', 'a.jpg', *facts):
      Folder(tmp_path)


@pytest.mark.parametrize('size', [[SIZE[1], SIZE[0]], [9, 9], 5, None])
def test_run_lengths_of_another_size_are_refused(tmp_path, size):
  save(tmp_path / 'a.json', content({'size': size, 'counts': runs(HOOK)}), tmp_path / 'a.jpg')
  with refused('a.json', 'a.jpg'):
    Folder(tmp_path).load('a.jpg')


@pytest.mark.parametrize('crowd', [0, 1, '0', '1', True, None])
def test_a_crowd_of_ones_own_is_an_object(tmp_path, crowd):
  """What a tool says with `iscrowd` is how the shape was stored."""
  save(tmp_path / 'a.json', content([polygon()], COMPRESSED, iscrowd=crowd), tmp_path / 'a.jpg')
  label = layered((1, box(1)), (2, HOOK))
  np.testing.assert_array_equal(Folder(tmp_path).load('a.jpg')[1], label)


def test_numbers_and_ids_as_tools_write_them(tmp_path):
  rows = content([LEAF], [SPOT])
  rows['images'][0] |= {'id': '1', 'height': 24.0, 'width': 32.0}
  rows['categories'][1]['id'] = '1'
  rows['annotations'][1] |= {'image_id': 1.0, 'category_id': 1.0}
  for encoding in ('utf-8', 'utf-8-sig', 'utf-16', 'utf-16-le'):
    save_photo(tmp_path / 'a.jpg')
    (tmp_path / 'a.json').write_text(json.dumps(rows), encoding=encoding)
    np.testing.assert_array_equal(
      Folder(tmp_path).load('a.jpg')[1], layered((1, drawn(LEAF)), (2, drawn(SPOT)))
    )
  rows['images'].append(image(1, 'b.jpg'))
  save(tmp_path / 'a.json', rows)
  with refused('a.json', 'image id 1 twice'):
    Folder(tmp_path)


@pytest.mark.parametrize(
  ('outlines', 'facts'),
  [
    (([polygon((4, 6, 14, 20))], [polygon((4, 6, 14, 20))]), ["'c0'", "'c1' covers"]),
    (([LEAF], [polygon((-9, -9, -5, -5))]), ["'c1'", 'holds none']),
    (
      ([polygon((4, 6, 8, 10))], [polygon((4, 6, 8, 8))], [polygon((4, 8, 8, 10))]),
      ["'c0'", "'c1'", "'c2'"],
    ),
  ],
)
def test_a_class_that_the_drawing_loses_is_named(tmp_path, outlines, facts):
  save(tmp_path / 'a.json', content(*outlines), tmp_path / 'a.jpg')
  folder = Folder(tmp_path)
  with refused('a.json', 'a.jpg', *facts):
    folder.load('a.jpg')


OTHERS = {
  'captions_default.json': {'caption': 'a leaf'},
  'panoptic_default.json': {'segments_info': [], 'file_name': 'a.png'},
  'person_keypoints_default.json': {'segmentation': [LEAF], 'keypoints': [1, 2, 2]},
  'labels_default.json': {},
}


@pytest.mark.parametrize('name', OTHERS)
def test_other_tasks_beside_the_instances(tmp_path, name):
  rows = content([LEAF])
  save(tmp_path / 'annotations' / 'instances_default.json', rows, tmp_path / 'images' / 'a.jpg')
  other = {**rows, 'annotations': [{'id': 1, 'image_id': 1, 'category_id': 0, **OTHERS[name]}]}
  save(tmp_path / 'annotations' / name, other)
  with warned(name):
    folder = Folder(tmp_path)
  np.testing.assert_array_equal(folder.load('images/a.jpg')[1], drawn(LEAF))


@pytest.mark.parametrize(
  ('name', 'fact'),
  [
    ('captions_default.json', 'captions'),
    ('panoptic_default.json', 'panoptic'),
    ('labels_default.json', 'outline'),
  ],
)
def test_other_tasks_alone_are_named(tmp_path, name, fact):
  rows = content([LEAF])
  rows['annotations'] = [{'id': 1, 'image_id': 1, 'category_id': 0, **OTHERS[name]}]
  save(tmp_path / 'annotations' / name, rows, tmp_path / 'images' / 'a.jpg')
  with refused(name, fact):
    Folder(tmp_path)


def test_classes_of_several_files_are_joined_by_name(tmp_path):
  for split, names in (('train', 'xy'), ('test', 'yz')):
    rows = content(*([polygon((2, 2 + 9 * i, 9, 9 + 9 * i))] for i in range(2)))
    rows['categories'] = [{'id': 5 * i, 'name': name} for i, name in enumerate(names)]
    for i, row in enumerate(rows['annotations']):
      row['category_id'] = 5 * i
    save(tmp_path / split / '_annotations.coco.json', rows, tmp_path / split / 'a.jpg')
  with warned('train/_annotations.coco.json', 'test/_annotations.coco.json', '2 images'):
    folder = Folder(tmp_path)
  assert folder.class_names == ('x', 'y', 'z')
  first, second = box(1, at=(2, 2, 9, 9)), box(1, at=(2, 11, 9, 18))
  np.testing.assert_array_equal(folder.load('train/a.jpg')[1], first + 2 * second)
  np.testing.assert_array_equal(folder.load('test/a.jpg')[1], 2 * first + 3 * second)
