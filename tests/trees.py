"""Small trees of images in the layouts of the published benchmarks, with their lists."""

import pickle

import numpy as np
from PIL import Image


def save_pair(image_path, mask_path, value, *, seed, size=(14, 18)):
  """Noise as JPEG, and a mask of one rectangle of `value` as PNG."""
  rng = np.random.default_rng(seed)
  for path in (image_path, mask_path):
    path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(image_path)
  mask = np.zeros(size, np.uint8)
  mask[3:9, 4 : 9 + seed % 5] = value
  Image.fromarray(mask).save(mask_path)


def save_pascal(root, *, images=2):
  """(data_dir, splits_dir) of a PASCAL-5i with so many images a class and list."""
  data, lists = root / 'VOC2012', root / 'splits'
  for split in ('trn', 'val'):
    for fold in range(4):
      lines = []
      for number in range(5 * fold + 1, 5 * fold + 6):
        for i in range(images):
          name = f'2007_{split}_{number:02d}{i}'
          save_pair(
            data / 'JPEGImages' / f'{name}.jpg',
            data / 'SegmentationClassAug' / f'{name}.png',
            number,
            seed=10 * number + i,
            size=(12 + number, 20 + i),
          )
          lines.append(f'{name}__{number:02d}\n')
      path = lists / 'pascal' / split / f'fold{fold}.txt'
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_text(''.join(lines))
  return data, lists


def save_coco(root):
  """(data_dir, splits_dir) of a COCO-20i with published masks; two test images a class."""
  data, lists = root / 'COCO2014', root / 'splits'
  for split, subset, images in (('trn', 'train2014', 1), ('val', 'val2014', 2)):
    names = {
      c: [f'{subset}/COCO_{subset}_{images * c + i:012d}.jpg' for i in range(images)]
      for c in range(80)
    }
    for class_id in names:
      for i, name in enumerate(names[class_id]):
        mask = (data / 'annotations' / name).with_suffix('.png')
        save_pair(data / name, mask, class_id + 1, seed=2 * class_id + i)
    for fold in range(4):
      path = lists / 'coco' / split / f'fold{fold}.pkl'
      path.parent.mkdir(parents=True, exist_ok=True)
      listed = {c: names[c] if (c % 4 == fold) == (split == 'val') else [] for c in names}
      path.write_bytes(pickle.dumps(listed))
  return data, lists


def save_fss(root):
  """(data_dir, splits_dir) of an FSS-1000 with one class in each list."""
  data, lists = root / 'fewshot_data', root / 'splits'
  (lists / 'fss').mkdir(parents=True)
  for split, name in (('trn', 'abacus'), ('val', 'bolete'), ('test', 'yurt')):
    (lists / 'fss' / f'{split}.txt').write_text(f'{name}\n')
    for n in range(1, 11):
      save_pair(data / name / f'{n}.jpg', data / name / f'{n}.png', 255, seed=n)
  return data, lists


def save_classes(root, *, images=2):
  """data_dir of a folder of one's own with four classes."""
  for class_id, name in enumerate(('axe', 'bow', 'cup', 'die')):
    for i in range(images):
      stem = root / 'own' / name / f'{name}{i}'
      save_pair(stem.with_suffix('.jpg'), stem.with_suffix('.png'), 255, seed=10 * class_id + i)
  return root / 'own'
