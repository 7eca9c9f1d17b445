"""Makes small exports of annotation tools, as the tools write them; see `samples`."""

import base64
import io
import json
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.recovery.samples import HEIGHT, WIDTH, label, pairs, photograph, save, write


def yolo(folder: Path) -> None:
  """Makes YOLO segmentation as Roboflow writes it."""
  write(folder / 'data.yaml', "train: ../train/images\nnc: 2\nnames: ['ant', 'bee']\n")
  corners = ' '.join(f'{x / WIDTH:.6f} {y / HEIGHT:.6f}' for x, y in pairs())
  for i in range(2):
    save(folder / f'train/images/{i}.jpg', photograph(i))
    write(folder / f'train/labels/{i}.txt', f'{i} {corners}\n1 0.1 0.1 0.9 0.2 0.3 0.4\n')


def via(folder: Path) -> None:
  """Makes a project of VIA with every shape."""
  shapes = (
    {
      'name': 'polygon',
      'all_points_x': [x for x, _ in pairs()],
      'all_points_y': [y for _, y in pairs()],
    },
    {'name': 'rect', 'x': 8, 'y': 6, 'width': 5, 'height': 3},
    {'name': 'circle', 'cx': 16.5, 'cy': 12, 'r': 7.2},
    {'name': 'ellipse', 'cx': 15, 'cy': 11, 'rx': 11, 'ry': 5.5, 'theta': 0.4},
  )
  entries = {}
  for i, shape in enumerate(shapes):
    save(folder / f'{i}.jpg', photograph(i))
    region = {'shape_attributes': shape, 'region_attributes': {'kind': 'ab'[i % 2]}}
    entries[f'{i}.jpg99'] = {
      'filename': f'{i}.jpg',
      'size': 99,
      'regions': [region],
      'file_attributes': {},
    }
  project = {'_via_settings': {'core': {}}, '_via_img_metadata': entries, '_via_attributes': {}}
  write(folder / 'via_project.json', json.dumps(project))


def supervisely(folder: Path) -> None:
  """Makes a project of Supervisely: a polygon with a hole, a rectangle, a bitmap."""
  png = io.BytesIO()
  stamp = Image.fromarray(np.eye(6, dtype=np.uint8))
  stamp.putpalette([0, 0, 0, 255, 255, 255])
  stamp.save(png, 'PNG', transparency=0)
  data = base64.b64encode(zlib.compress(png.getvalue())).decode()
  hole = [[8, 6], [12, 6], [12, 9]]
  objects = (
    {'geometryType': 'polygon', 'points': {'exterior': pairs(), 'interior': [hole]}},
    {'geometryType': 'rectangle', 'points': {'exterior': [[4, 4], [9, 9]], 'interior': []}},
    {'geometryType': 'bitmap', 'bitmap': {'data': data, 'origin': [3, 4]}},
  )
  write(folder / 'meta.json', json.dumps({'classes': [{'title': 'a'}, {'title': 'b'}]}))
  for i, one in enumerate(objects):
    save(folder / f'ds/img/{i}.jpg', photograph(i))
    content = {
      'description': '',
      'tags': [],
      'size': {'height': HEIGHT, 'width': WIDTH},
      'objects': [{'classTitle': 'ab'[i % 2], 'tags': [], **one}],
    }
    write(folder / f'ds/ann/{i}.jpg.json', json.dumps(content))


def masks_of_voc(folder: Path) -> None:
  """Makes masks in color as CVAT writes them."""
  labelmap = '# label:color_rgb:parts:actions\nbackground:0,0,0::\na:250,50,83::\nb:61,245,61::\n'
  write(folder / 'labelmap.txt', labelmap)
  write(folder / 'ImageSets/Segmentation/default.txt', '0\n1\n')
  colors = np.array([[0, 0, 0], [250, 50, 83], [61, 245, 61]], np.uint8)
  for i in range(2):
    save(folder / f'JPEGImages/{i}.jpg', photograph(i))
    save(folder / f'SegmentationClass/{i}.png', Image.fromarray(colors[label(i + 1)]))
