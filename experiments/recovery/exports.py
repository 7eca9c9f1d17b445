"""Makes small exports of annotation tools as valid samples, as the tools lay them out."""

import base64
import io
import json
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.recovery import samples
from experiments.recovery.samples import HEIGHT, WIDTH, pairs, photograph, save, write

_COLORS = {'ant': (250, 50, 83), 'bee': (51, 221, 255)}


def labelme(folder: Path) -> None:
  """Makes LabelMe files: a polygon, a rectangle, a circle, a mask, a picture inside its JSON."""
  inside = io.BytesIO()
  Image.fromarray(np.full((10, 14), 255, np.uint8)).save(inside, 'PNG')
  corners = [[6, 4], [19, 13]]
  shapes = (
    ('polygon', pairs(), {}),
    ('rectangle', corners, {}),
    ('circle', [[16, 12], [16, 5]], {'flags': {}, 'group_id': None}),
    ('mask', corners, {'mask': base64.b64encode(inside.getvalue()).decode()}),
  )
  photo = io.BytesIO()
  photograph().save(photo, 'JPEG')
  for i, (kind, points, more) in enumerate(shapes):
    shape = {'label': 'ab'[i % 2], 'points': points, 'shape_type': kind, **more}
    content = {
      'version': '5.4.1',
      'flags': {},
      'shapes': [shape, {'label': 'c', 'points': pairs(), 'shape_type': 'polygon'}],
      'imagePath': f'{i}.jpg',
      'imageData': base64.b64encode(photo.getvalue()).decode() if i == 3 else None,
      'imageHeight': HEIGHT,
      'imageWidth': WIDTH,
    }
    write(folder / f'{i}.json', json.dumps(content))
    if i < 3:
      save(folder / f'{i}.jpg', photograph(i))


def outlined(folder: Path) -> None:
  """Makes support images whose outlines are in a COCO file, or in LabelMe's."""
  samples.coco(folder)
  (folder / 'labels.json').rename(folder / 'coco.json')
  shapes = [{'label': 'a', 'points': pairs(), 'shape_type': 'polygon'}]
  size = {'imageHeight': HEIGHT, 'imageWidth': WIDTH}
  content = {'shapes': shapes, 'imagePath': '0.jpg', 'imageData': None, **size}
  write(folder / '0.json', json.dumps(content))
  save(folder / '0.jpg', photograph())


def yolo(folder: Path) -> None:
  """Makes YOLO segmentation with its data.yaml."""
  names = ''.join(f'  {number}: {name}\n' for number, name in enumerate(_COLORS))
  write(folder / 'data.yaml', f'path: .\ntrain: images/train\nval: images/train\nnames:\n{names}')
  corners = ' '.join(f'{x / WIDTH:.6f} {y / HEIGHT:.6f}' for x, y in pairs())
  triangle = '0.1 0.1 0.5 0.2 0.3 0.9'
  for i in range(3):
    save(folder / f'images/train/{i}.jpg', photograph(i))
    write(folder / f'labels/train/{i}.txt', f'{i % 2} {corners}\n1 {triangle}\n')


def via(folder: Path) -> None:
  """Makes the JSON of VIA 2: a shape of each kind that has an inside."""
  xs, ys = (list(column) for column in zip(*pairs(), strict=True))
  shapes = (
    {'name': 'polygon', 'all_points_x': xs, 'all_points_y': ys},
    {'name': 'rect', 'x': 4, 'y': 5, 'width': 9, 'height': 8},
    {'name': 'circle', 'cx': 12, 'cy': 12, 'r': 6.5},
    {'name': 'ellipse', 'cx': 12, 'cy': 12, 'rx': 8, 'ry': 4, 'theta': 0.3},
  )
  content = {}
  for i, shape in enumerate(shapes):
    region = {'shape_attributes': shape, 'region_attributes': {'class': 'ab'[i % 2]}}
    content[f'{i}.jpg1000'] = {
      'filename': f'{i}.jpg',
      'size': 1000,
      'regions': [region],
      'file_attributes': {},
    }
    save(folder / f'{i}.jpg', photograph(i))
  write(folder / 'via_region_data.json', json.dumps(content))


def supervisely(folder: Path) -> None:
  """Makes a project of Supervisely: a polygon with a hole, a rectangle, a bitmap."""
  stamp = Image.fromarray(np.eye(6, 9, dtype=np.uint8))
  stamp.putpalette([0, 0, 0, 255, 255, 255])
  packed = io.BytesIO()
  stamp.save(packed, 'PNG', transparency=0)
  data = base64.b64encode(zlib.compress(packed.getvalue())).decode()
  hole = [[9, 7], [12, 7], [12, 10]]
  corners = [pairs()[0], pairs()[2]]
  figures = (
    {'geometryType': 'polygon', 'points': {'exterior': pairs(), 'interior': [hole]}},
    {'geometryType': 'rectangle', 'points': {'exterior': corners, 'interior': []}},
    {'geometryType': 'bitmap', 'bitmap': {'data': data, 'origin': [5, 4]}},
  )
  classes = [{'title': t, 'shape': 'any', 'color': '#FF0000'} for t in _COLORS]
  write(folder / 'meta.json', json.dumps({'classes': classes, 'tags': []}))
  for i, figure in enumerate(figures):
    one = {'classTitle': list(_COLORS)[i % 2], 'tags': [], **figure}
    size = {'height': HEIGHT, 'width': WIDTH}
    content = {'description': '', 'tags': [], 'size': size, 'objects': [one]}
    write(folder / f'ds/ann/{i}.jpg.json', json.dumps(content))
    save(folder / f'ds/img/{i}.jpg', photograph(i))


def labelme_xml(folder: Path) -> None:
  """Makes the XML that CVAT calls 'LabelMe 3.0': a polygon, and a mask of the whole picture."""
  points = ''.join(f'<pt><x>{x}</x><y>{y}</y></pt>' for x, y in pairs())
  outlines = (
    f'<polygon>{points}<username></username></polygon>',
    '<segm><username></username><box><xmin>6</xmin><ymin>4</ymin><xmax>20</xmax><ymax>14</ymax>'
    '</box><mask>1_mask_1.png</mask></segm>',
  )
  for i, outline in enumerate(outlines):
    write(
      folder / f'{i}.xml',
      f'<annotation>\n<filename>{i}.jpg</filename><folder></folder><source><sourceImage/>'
      '<sourceAnnotation>Datumaro</sourceAnnotation></source>\n'
      f'<imagesize><nrows>{HEIGHT}</nrows><ncols>{WIDTH}</ncols></imagesize>\n'
      f'<object><name>{list(_COLORS)[i]}</name><deleted>0</deleted><verified>0</verified>'
      f'<occluded>no</occluded><attributes></attributes><id>{i}</id>\n{outline}\n</object>'
      '</annotation>',
    )
    save(folder / f'{i}.jpg', photograph(i))
  save(folder / 'Masks/1_mask_1.png', samples.mask())


def voc(folder: Path) -> None:
  """Makes CVAT's 'Segmentation mask 1.1': masks in colors, which labelmap.txt names."""
  rows = ''.join(f'{name}:{",".join(map(str, c))}::\n' for name, c in _COLORS.items())
  write(folder / 'labelmap.txt', f'# label:color_rgb:parts:actions\nbackground:0,0,0::\n{rows}')
  for i, color in enumerate(_COLORS.values()):
    drawn = np.array([[0, 0, 0], color], np.uint8)[samples.label(1)]
    save(folder / f'SegmentationClass/{i}.png', Image.fromarray(drawn))
    save(folder / f'JPEGImages/{i}.jpg', photograph(i))
  write(folder / 'ImageSets/Segmentation/default.txt', '0\n1\n')


def voc_numbers(folder: Path) -> None:
  """Makes masks of numbers, as labelme2voc writes them."""
  write(folder / 'class_names.txt', '_background_\nant\nbee\nash\n')
  for i in range(2):
    save(folder / f'SegmentationClass/{i}.png', samples.palette())
    save(folder / f'JPEGImages/{i}.jpg', photograph(i))


def coco_subsets(folder: Path) -> None:
  """Makes a COCO export in folders of subsets, as Roboflow lays it out."""
  for subset in ('train', 'valid'):
    samples.coco(folder / subset)
    for path in (folder / subset).glob('*.jpg'):
      path.rename(path.with_name(f'{subset}{path.name}'))
    path = folder / subset / 'labels.json'
    content = json.loads(path.read_text())
    for image in content['images']:
      image['file_name'] = f'{subset}{image["file_name"]}'
    write(folder / subset / '_annotations.coco.json', json.dumps(content))
    path.unlink()
