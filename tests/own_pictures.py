"""A user's own pictures, made in each of the three layouts: JPEG, PNG and JSON files."""

import base64
import io
import itertools
import json

import numpy as np
from PIL import Image
from pycocotools import mask as coder

SIZE = (24, 32)
BOX = (4, 6, 14, 20)  # top, left, bottom, right


def box(value, *, size=SIZE, at=BOX, dtype=np.uint8):
  """The oracle of every layout: a rectangle."""
  label = np.zeros(size, dtype)
  label[at[0] : at[2], at[1] : at[3]] = value
  return label


def save_photo(path, *, size=SIZE, **options):
  path.parent.mkdir(parents=True, exist_ok=True)
  pixels = np.random.default_rng(len(path.name)).integers(0, 256, (*size, 3), dtype=np.uint8)
  Image.fromarray(pixels).save(path, **options)


def save_mask(path, label):
  Image.fromarray(label).save(path)


def save_classes(folder):
  """Five classes of three pictures, each with its mask."""
  for name, i in itertools.product(('ant', 'bee', 'cat', 'dog', 'eel'), range(3)):
    save_photo(folder / name / f'{i}.jpg')
    save_mask(folder / name / f'{i}.png', box(255))
  return folder


def polygon(at=BOX):
  """The corners of a box, as COCO counts them: between pixels."""
  top, left, bottom, right = at
  return [left, top, right, top, right, bottom, left, bottom]


def coco_content():
  """The content of a COCO file: three images; categories not in order, one without annotation."""
  full = coder.encode(np.asfortranarray(box(1)))
  counts = [len(list(run)) for _, run in itertools.groupby(box(1).ravel(order='F'))]
  image = {'height': SIZE[0], 'width': SIZE[1]}
  outline = {'iscrowd': 0, 'bbox': [0, 0, 1, 1]}
  return {
    'images': [{'id': i, 'file_name': f'{i}.jpg', **image} for i in (30, 10, 20)],
    'categories': [
      {'id': 7, 'name': 'cell'},
      {'id': 2, 'name': 'root'},
      {'id': 0, 'name': 'my-project'},
    ],
    'annotations': [
      {'id': 1, 'image_id': 10, 'category_id': 7, 'segmentation': [polygon()], **outline},
      {
        'id': 2,
        'image_id': 20,
        'category_id': 2,
        'segmentation': {'size': list(SIZE), 'counts': full['counts'].decode()},
        **outline,
      },
      {
        'id': 3,
        'image_id': 30,
        'category_id': 2,
        'segmentation': {'size': list(SIZE), 'counts': counts},
        **outline,
        'iscrowd': 1,
      },
      # A smaller object of another class, in front of the crowd.
      {
        'id': 4,
        'image_id': 30,
        'category_id': 7,
        'segmentation': [polygon((6, 8, 9, 12))],
        **outline,
      },
    ],
  }


def save_coco(folder, content, *, images='', json_at='labels.json'):
  for i in (10, 20, 30):
    save_photo(folder / images / f'{i}.jpg')
  path = folder / json_at
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(content if isinstance(content, str) else json.dumps(content))
  return folder


def shape(label, points, kind='polygon', **more):
  return {'label': label, 'points': points, 'shape_type': kind, **more}


def save_labelme(folder, stem, *shapes, **changes):
  folder.mkdir(parents=True, exist_ok=True)
  content = {
    'imagePath': f'{stem}.jpg',
    'imageData': None,
    'imageHeight': SIZE[0],
    'imageWidth': SIZE[1],
    'shapes': list(shapes),
    **changes,
  }
  (folder / f'{stem}.json').write_text(json.dumps(content))
  return folder


# Pillow's outlines hold their corners.
CORNERS = [[BOX[1], BOX[0]], [BOX[3] - 1, BOX[2] - 1]]
SQUARE = [[6, 4], [19, 4], [19, 13], [6, 13]]


def save_all_labelme(folder):
  """A rectangle, a polygon, a circle, a mask, each in a picture; one picture of two classes."""
  for stem in 'abcde':
    save_photo(folder / f'{stem}.jpg')
  png = io.BytesIO()
  Image.fromarray(np.full((10, 14), 255, np.uint8)).save(png, 'PNG')
  mask = base64.b64encode(png.getvalue()).decode()
  save_labelme(folder, 'a', shape('root', CORNERS, 'rectangle'))
  save_labelme(
    folder, 'b', shape('root', SQUARE), shape('cell', [[8, 6], [11, 6], [11, 8], [8, 8]])
  )
  save_labelme(folder, 'c', shape('cell', [[16, 12], [16, 5]], 'circle'))
  save_labelme(folder, 'd', shape('root', CORNERS, 'mask', mask=mask))
  return save_labelme(folder, 'e')
