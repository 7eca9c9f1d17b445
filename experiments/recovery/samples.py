"""Makes small valid files of every kind that is read, as their own tools write them.

Each function fills a folder; the same files every time, but for random names and times in a
checkpoint and a prepared set.
"""

import json
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 24, 32
_BOX = (4, 6, 14, 20)  # top, left, bottom, right
_ORIENTATION = 0x0112

SPACE = """\
[train]
fold = 0
max_steps = 200
[space]
learning_rate = {log_uniform = [1e-4, 1e-2]}
weight_decay = {uniform = [0.0, 0.1]}
seed = {integer = [0, 9]}
augment = {choice = ['none', 'flip']}
"""


def photograph(seed: int = 0) -> Image.Image:
  """Draws noise in color."""
  rng = np.random.default_rng(seed)
  return Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8))


def label(value: int, dtype: Any = np.uint8) -> np.ndarray:
  """Draws a rectangle of one value."""
  drawn = np.zeros((HEIGHT, WIDTH), dtype)
  drawn[_BOX[0] : _BOX[2], _BOX[1] : _BOX[3]] = value
  return drawn


def polygon() -> list[int]:
  """Returns the rectangle's corners in a row, as COCO counts them."""
  top, left, bottom, right = _BOX
  return [left, top, right, top, right, bottom, left, bottom]


def pairs() -> list[list[int]]:
  """Returns the rectangle's corners as pairs."""
  corners = polygon()
  return [corners[i : i + 2] for i in range(0, len(corners), 2)]


def write(path: Path, content: str | bytes) -> None:
  """Writes a file, and makes its folder."""
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(content.encode() if isinstance(content, str) else content)


def save(path: Path, image: Image.Image) -> None:
  """Saves a picture, and makes its folder."""
  path.parent.mkdir(parents=True, exist_ok=True)
  image.save(path)


def jpeg(folder: Path) -> None:
  """Makes a JPEG that its EXIF block turns."""
  exif = Image.Exif()
  exif[_ORIENTATION] = 6
  photograph().save(folder / 'picture.jpg', quality=90, exif=exif, dpi=(72, 72))


def cmyk_jpeg(folder: Path) -> None:
  """Makes a progressive JPEG of four inks."""
  photograph().convert('CMYK').save(folder / 'picture.jpg', progressive=True)


def moving_gif(folder: Path) -> None:
  """Makes a GIF of three frames."""
  mask().save(folder / 'picture.gif', save_all=True, append_images=[mask()] * 2)


def strips(folder: Path) -> None:
  """Makes a TIFF that LZW packs."""
  deep().save(folder / 'picture.tif', compression='tiff_lzw')


def packed_fractions(folder: Path) -> None:
  """Makes a TIFF of fractions that Deflate packs."""
  fractions().save(folder / 'picture.tif', compression='tiff_deflate')


def picture(image: Callable[[], Image.Image], name: str) -> Callable[[Path], None]:
  """Returns what makes one picture of a name."""
  return lambda folder: save(folder / name, image())


def palette() -> Image.Image:
  """Draws a label in palette mode, with a palette of colors and an outline of 255."""
  drawn = label(3)
  drawn[_BOX[0], _BOX[1] : _BOX[3]] = 255
  image = Image.fromarray(drawn, 'P')
  image.putpalette([v for i in range(256) for v in (i * 37 % 256, i * 91 % 256, i * 17 % 256)])
  return image


def mask() -> Image.Image:
  """Draws a black-and-white mask."""
  return Image.fromarray(label(255))


def deep() -> Image.Image:
  """Draws gray of 12 bits in 16."""
  return Image.fromarray(np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH) * 5)


def fractions() -> Image.Image:
  """Draws gray between 0 and 1."""
  return Image.fromarray(np.linspace(0, 1, HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH))


def transparent() -> Image.Image:
  """Draws white that is transparent outside of the rectangle."""
  return Image.merge('LA', (Image.new('L', (WIDTH, HEIGHT), 255), mask()))


def class_folders(folder: Path) -> None:
  """Makes a folder for each of two classes."""
  for number, name in enumerate(('ant', 'bee')):
    for i in range(2):
      save(folder / name / f'{i}.jpg', photograph(2 * number + i))
      save(folder / name / f'{i}.png', mask())


def coco(folder: Path) -> None:
  """Makes a COCO JSON: a polygon, run lengths in both forms, a crowd."""
  drawn = label(1).ravel(order='F')
  changes = np.flatnonzero(np.diff(drawn)) + 1
  counts = np.diff([0, *changes.tolist(), drawn.size]).tolist()
  from data_pipelines.reading.outlines import run_lengths

  packed = run_lengths([polygon()], (HEIGHT, WIDTH))['counts'].decode()
  size = [HEIGHT, WIDTH]
  outlines = ([polygon()], {'size': size, 'counts': counts}, {'size': size, 'counts': packed})
  content = {
    'images': [
      {'id': i, 'file_name': f'{i}.jpg', 'height': HEIGHT, 'width': WIDTH} for i in (1, 2, 3)
    ],
    'categories': [{'id': 1, 'name': 'cell'}, {'id': 2, 'name': 'root', 'supercategory': 'all'}],
    'annotations': [
      {
        'id': i + 1,
        'image_id': i + 1,
        'category_id': 1 + i % 2,
        'segmentation': outline,
        'iscrowd': int(i == 1),
        'area': 140,
        'bbox': [6, 4, 14, 10],
      }
      for i, outline in enumerate(outlines)
    ],
  }
  write(folder / 'labels.json', json.dumps(content))
  for i in (1, 2, 3):
    save(folder / f'{i}.jpg', photograph(i))


def lists(folder: Path) -> None:
  """Makes the published lists of all three benchmarks."""
  lines = ''.join(f'2007_00{i:04d}__{1 + i % 5:02d}\n' for i in range(12))
  write(folder / 'pascal/trn/fold0.txt', lines)
  names = {c: [f'val2014/COCO_val2014_{10 * c + i:012d}.jpg' for i in range(3)] for c in range(8)}
  names[7] = names[6][:2]
  for protocol in (2, 4):
    write(folder / f'coco/val/fold{protocol}.pkl', pickle.dumps(names, protocol))
  write(folder / 'fss/trn.txt', 'ab_wheel\nabacus\nthor_hammer\n')


def pascal(folder: Path) -> None:
  """Makes a photograph and a label in PASCAL's layout."""
  save(folder / 'JPEGImages/a.jpg', photograph())
  save(folder / 'SegmentationClassAug/a.png', palette())


def instances(folder: Path) -> None:
  """Makes an `instances_val2014.json` of COCO."""
  coco(folder)
  content = json.loads((folder / 'labels.json').read_text())
  for path in folder.iterdir():
    path.unlink()
  write(folder / 'instances.json', json.dumps(content))


def fss(folder: Path) -> None:
  """Makes a class of FSS-1000, with lists of three."""
  for split, name in (('trn', 'abacus'), ('val', 'bolete'), ('test', 'yurt')):
    write(folder / f'splits/fss/{split}.txt', f'{name}\n')
  for i in range(1, 11):
    save(folder / f'data/abacus/{i}.jpg', photograph(i))
    save(folder / f'data/abacus/{i}.png', mask())


def tensors() -> dict[str, np.ndarray]:
  """Draws tensors of some shapes and types."""
  rng = np.random.default_rng(0)
  return {
    'conv.weight': rng.normal(size=(4, 3, 3, 3)).astype(np.float32),
    'conv.bias': rng.normal(size=4).astype(np.float16),
    'steps': np.array(7),
  }


def npz(folder: Path) -> None:
  """Makes an archive of arrays."""
  np.savez_compressed(folder / 'weights.npz', allow_pickle=False, **tensors())


def safetensors(folder: Path) -> None:
  """Makes a .safetensors file."""
  from safetensors.numpy import save as encode

  write(folder / 'weights.safetensors', encode(tensors(), metadata={'format': 'pt'}))


def torch_zip(folder: Path) -> None:
  """Makes a .pt as PyTorch writes it; without PyTorch an archive of the same names."""
  if not _torch(folder, zipped=True):
    with zipfile.ZipFile(folder / 'weights.pt', 'w') as archive:
      archive.writestr(zipfile.ZipInfo('weights/data.pkl'), pickle.dumps({'a': 1}, 2))
      archive.writestr(zipfile.ZipInfo('weights/data/0'), bytes(16))


def torch_old(folder: Path) -> None:
  """Makes a .pth as PyTorch wrote it before 1.6; without PyTorch pickles in a row."""
  if not _torch(folder, zipped=False):
    parts = (0x1950A86A20F9469CFC6C, 1001, {'little_endian': True}, {'a': 1})
    write(folder / 'weights.pt', b''.join(pickle.dumps(part, 2) for part in parts))


def _torch(folder: Path, *, zipped: bool) -> bool:
  try:
    import torch
  except ImportError:
    return False
  state = {name: torch.as_tensor(value) for name, value in tensors().items()}
  torch.save(state, folder / 'weights.pt', _use_new_zipfile_serialization=zipped)
  return True


def checkpoint(folder: Path) -> None:
  """Makes a checkpoint of few numbers, with the state of an optimizer."""
  from hsnet_jax.checkpoints import save_checkpoint

  variables = {'params': {'a': {'kernel': np.ones((3, 4), np.float32)}}, 'backbone': {}}
  save_checkpoint(
    folder / 'best',
    variables,
    config=_RECORDED,
    opt_state={'count': np.int32(3), 'mu': variables['params']},
    step=4,
  )


def model(folder: Path) -> None:
  """Makes a checkpoint of the network with the tiny backbone, all zeros."""
  import jax

  from hsnet_jax import HSNet
  from hsnet_jax.checkpoints import save_checkpoint
  from hsnet_jax.weights import load_backbone

  images, mask = (jax.ShapeDtypeStruct(s, np.float32) for s in ((1, 64, 64, 3), (1, 64, 64)))
  shapes = jax.eval_shape(HSNet('tiny').init, jax.random.key(0), images, images, mask)
  params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes['params'])
  variables = {'params': params, 'backbone': load_backbone('tiny')}
  save_checkpoint(folder / 'run/checkpoints/best', variables, config=_RECORDED, step=4)


_RECORDED: Mapping[str, Any] = {
  **{'backbone': 'tiny', 'benchmark': 'shapes', 'fold': 1, 'image_size': 64},
  **{'mask_support': True, 'precision': 'float32', 'figures': {'miou': 31.5}, 'epoch': 2},
}


def evaluation(folder: Path) -> None:
  """Makes the results of an evaluation, and its episodes."""
  about = {'model': 'hsnet', 'backbone': 'tiny', 'benchmark': 'shapes', 'fold': 0, 'shots': 1}
  figures = {'miou': 60.0, 'miou_interval': [40.0, 70.0], 'class_iou': {'cup': 60.0}}
  write(folder / 'results.json', json.dumps({**about, 'results': {'all 1': figures}}))
  heads = 'episode,class,query,supports,true_positive,false_positive,false_negative,true_negative'
  write(folder / 'episodes.csv', f'{heads}\n0,cup,q,"[""s""]",60,20,20,900\n')


def run_log(folder: Path) -> None:
  """Makes the metrics.jsonl of a run."""
  lines = [
    {'step': step, 'train/loss': 1 / (1 + step), 'val/miou': 10.0 + step, 'time/seconds': 0.5}
    for step in range(0, 12, 2)
  ]
  write(folder / 'metrics.jsonl', ''.join(json.dumps(line) + '\n' for line in lines))


RESULT_OF: Mapping[str, Any] = {'checkpoint': 'best', 'shots': 1, 'episodes': 250}


def results(folder: Path) -> None:
  """Makes two results with their marks."""
  from experiments.storage.results import mark, write_png

  write_png(folder / 'a_mask.png', mask(), of=RESULT_OF)
  write(folder / 'results.json', json.dumps({'miou': 61.5}))
  mark(folder / 'results.json', of=RESULT_OF)


def prepared(folder: Path) -> None:
  """Makes the prepared set of a folder of classes."""
  from data_pipelines import make_benchmark
  from data_pipelines.prepared.preparation import Preparation

  class_folders(folder / 'own')
  own = make_benchmark('folder', data_dir=folder / 'own')
  Preparation(own, folder / 'sets', data_dir='own').make()


def journal(folder: Path) -> None:
  """Makes class folders, and the journal of their checks."""
  from data_pipelines import make_benchmark
  from data_pipelines.prepared.checks import check_images

  class_folders(folder / 'own')
  own = make_benchmark('folder', data_dir=folder / 'own')
  listed = {name: [class_id] for name, class_id in own.split(0, 'val').items}
  check_images(own, listed, journal=folder / 'checked.jsonl')


def sweep(folder: Path) -> None:
  """Makes the space of a sweep, and a sweep's folder with one trial."""
  write(folder / 'space.toml', SPACE)
  write(folder / 'sweep/sweep.json', json.dumps({'space': {'train': {'fold': 0}}, 'seed': 3}))
  trial = {'number': 1, 'params': {'seed': 4}, 'status': 'ended', 'reason': ''}
  write(folder / 'sweep/trials/001/trial.json', json.dumps(trial))
  run_log(folder / 'sweep/trials/001')
