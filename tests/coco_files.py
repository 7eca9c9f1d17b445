"""Parts of COCO files, and the labels that pycocotools and NumPy draw of the same outlines."""

import itertools
import json

import numpy as np
from pycocotools import mask as coder

from tests.own_pictures import SIZE, polygon, save_photo

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


def image(number, name, **more):
  return {'id': number, 'width': SIZE[1], 'height': SIZE[0], 'file_name': name, **more}


def save(path, content, *photos):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(json.dumps(content))
  for photo in photos:
    save_photo(photo)
