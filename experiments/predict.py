"""Segments the object that support images show, in other images, at their own size.

Examples, from the checkout's folder:

  One support image with its mask, a folder of queries:
    python -m experiments.predict --checkpoint=runs/shapes-fold0-1shot-tiny/checkpoints/best \\
      --support_images=dog.jpg --support_masks=dog.png --query=photos --output_dir=masks

  Three supports, two queries; of the masks only the pixels of value 12:
    python -m experiments.predict --checkpoint=best --support_images=a.jpg,b.jpg,c.jpg \\
      --support_masks=a.png,b.png,c.png --mask_value=12 --query=x.jpg,y.jpg --output_dir=masks

In a support's mask every value but 0 is the object, with two exceptions. PASCAL's boundary, 255
beside a palette's indices or beside grey values of 20 and less, is background. And where 255 is the
commonest grey value but 0, the others are soft edges, and the object is what has 128 or more; a
JPEG, too, is cut at half of its largest value. --mask_value chooses one value instead.

Writes NAME_mask.png (255 on the object, 0 elsewhere) and NAME_overlay.png for every query. Images
are turned upright as their EXIF data says. Nothing is written unless all inputs can be read.
"""

import pathlib
import sys

if not __package__:  # Run by its path: the checkout's folder is where the packages are.
  sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

import numpy as np
from absl import flags

from data_pipelines import read_image, resize_image
from experiments.command import app
from experiments.command.inputs import find_queries, read_supports, result_paths
from experiments.evaluation import methods
from experiments.reporting.pictures import overlay, save_image
from experiments.reporting.progress import progress_bar
from hsnet_jax.models import check_image_size, describe_devices, load_model
from hsnet_jax.whole_files import writable_folder

_CHECKPOINT = flags.DEFINE_string('checkpoint', None, "A checkpoint's folder, or its run's.")
_SUPPORT_IMAGES = flags.DEFINE_list('support_images', [], 'Support images, by commas.')
_SUPPORT_MASKS = flags.DEFINE_list('support_masks', [], 'Their masks, in the same order.')
_MASK_VALUE = flags.DEFINE_integer(
  'mask_value',
  None,
  'Which value of the masks is the object. Default: every value but 0; where 255 is the commonest'
  " of them, 128 and more; not PASCAL's boundary, 255 beside class numbers.",
  lower_bound=0,
  upper_bound=255,
)
_QUERY = flags.DEFINE_list('query', [], 'Images to segment, or folders of them, by commas.')
_OUTPUT_DIR = flags.DEFINE_string('output_dir', 'predictions', 'Where the masks go.')
_IMAGE_SIZE = flags.DEFINE_integer(
  'image_size',
  None,
  "The network sees squares of this side. Default: the checkpoint's.",
  lower_bound=1,
)


def main() -> None:
  """Predicts as the flags say."""
  queries = find_queries(
    _QUERY.value,
    output_dir=_OUTPUT_DIR.value,
    supports=[*_SUPPORT_IMAGES.value, *_SUPPORT_MASKS.value],
  )
  for path in queries:
    read_image(path)
  model = load_model(_CHECKPOINT.value)
  size = _IMAGE_SIZE.value or model.config.get('image_size', 400)
  check_image_size(model.module, model.variables, size)
  supports = read_supports(
    _SUPPORT_IMAGES.value, _SUPPORT_MASKS.value, size=(size, size), value=_MASK_VALUE.value
  )
  folder = writable_folder(_OUTPUT_DIR.value, argument='output_dir')
  print('device:', describe_devices())
  print(f'model: backbone {model.backbone.name}, {model.path}, {len(supports[0])}-shot', flush=True)
  predict = methods.predictor(model, *supports)
  with progress_bar(len(queries), unit='image') as bar:
    for path in queries:
      image = read_image(path)
      mask = predict(resize_image(image, (size, size)), image.shape[:2])
      mask_path, overlay_path = result_paths(path, folder)
      save_image(mask_path, mask * np.uint8(255))
      save_image(overlay_path, overlay(image, mask))
      bar.update()
  print(f'{len(queries)} masks and overlays are in {folder}')


if __name__ == '__main__':
  app.run(main)
