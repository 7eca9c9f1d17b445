"""Writes a network as one file that runs without this package: StableHLO, or ONNX.

Examples, from the checkout's folder:

  What these outlines show, found by the model that comes with the package (needs JAX to run):
    python -m experiments.export --support_images=dog1.jpg,dog2.jpg \\
      --support_masks=dog1.png,dog2.png --output=dogs.stablehlo

  The same for onnxruntime (writing it needs: pip install 'hsnet-jax[onnx]'):
    python -m experiments.export --support_images=dog1.jpg --support_masks=dog1.png \\
      --output=dogs.onnx

  A segmenter that Segmenter.save wrote, and its supports; compared with it on a picture:
    python -m experiments.export --checkpoint=dogs.safetensors --output=dogs.onnx --check=query.jpg

  A checkpoint of one's own; the program is given three supports each time it runs:
    python -m experiments.export --checkpoint=runs/pascal --shots=3 --output=pascal.stablehlo

The ending of --output says which: .stablehlo is one program for CPU, CUDA and TPU, which takes any
number of pictures; .onnx one of 2D convolutions alone, which takes one (--batch_size). Either takes
pictures as uint8, resized to the network's squares, and gives masks, probabilities and logits. What
goes in and comes out is in the file as JSON; docs/export.md has it, and ten lines of Python that
run each.

In a support's mask everything but 0 is the object, as for Segmenter. The file appears whole or not
at all, and none that is there is replaced.
"""

import pathlib
from typing import TYPE_CHECKING, Any

from absl import flags

from experiments.command import app
from experiments.command.flags import define_list
from hsnet_jax.errors import InputError
from hsnet_jax.inference.table import COMBINATIONS

if TYPE_CHECKING:
  from hsnet_jax.segmenter.segmenter import Segmenter

_CHECKPOINT = flags.DEFINE_string(
  'checkpoint',
  'photos',
  "A model's name, a checkpoint's folder, a run's, or a .safetensors; one that Segmenter.save wrote"
  ' brings its supports.',
)
_OUTPUT = flags.DEFINE_string('output', None, 'The file to write: NAME.stablehlo or NAME.onnx.')
_IMAGES = define_list('support_images', None, 'Supports to bake in, by commas.')
_MASKS = define_list('support_masks', None, 'Their masks, in the same order.')
_CLASSES = define_list(
  'support_classes', None, 'The class of each support, by commas. Default: all are of one.'
)
_SHOTS = flags.DEFINE_integer(
  'shots',
  None,
  'Bake in no supports: the program takes so many, with their masks, each time it runs.',
  lower_bound=1,
)
_BATCH = flags.DEFINE_integer(
  'batch_size',
  None,
  'How many pictures the program takes; 0: any number. Default: any for .stablehlo, 1 for .onnx,'
  ' where any number is slower.',
  lower_bound=0,
)
_PLATFORMS = define_list(
  'platforms',
  None,
  'What a .stablehlo runs on, of cpu, cuda, rocm and tpu. Default: all of them but rocm.',
)
_SIZE = flags.DEFINE_integer(
  'image_size',
  None,
  "The network sees squares of this side. Default: the checkpoint's.",
  lower_bound=1,
)
_COMBINE = flags.DEFINE_enum(
  'combine',
  None,
  list(COMBINATIONS),
  "How several supports make one mask. Default: the checkpoint's (photos: mean).",
)
_MARGIN = flags.DEFINE_float(
  'support_margin',
  None,
  'Cut each support to a window around its object, wider than it by this share on each side; -1:'
  " whole pictures. Default: the checkpoint's (photos: 0.1).",
  lower_bound=-1.0,
  upper_bound=100.0,
)
_PRESENCE = flags.DEFINE_float(
  'presence_threshold',
  None,
  'How like the object, as a cosine, must be what is found in a picture, for anything to be marked'
  " in it; -1: whatever is found. Default: the checkpoint's (photos: 0).",
  lower_bound=-1.0,
  upper_bound=1.0,
)
_CHECK = flags.DEFINE_string(
  'check', None, 'A picture on which to run the file beside the network; says how far they differ.'
)
_ENDINGS = ('.stablehlo', '.onnx')


def main() -> None:
  """Exports as the flags say."""
  output = _checked_output()
  from hsnet_jax.export import largest_difference, read_exported
  from hsnet_jax.segmenter.pictures import read_picture

  picture = None if _CHECK.value is None else read_picture(_CHECK.value, name='the picture')
  segmenter = _make_segmenter()
  about = _write(output, segmenter)
  sizes = {one['name']: one['shape'] for one in about['inputs']}
  takes = ', '.join(f'{name} [{", ".join(map(str, size))}]' for name, size in sizes.items())
  print(f'{output}: {output.stat().st_size:,} bytes; takes {takes}; supports {about["supports"]}')
  if picture is not None:
    found = largest_difference(read_exported(output), segmenter, picture)
    print(f"{_CHECK.value}: its logits differ from the network's by {found:.1e} at most")


def _checked_output() -> pathlib.Path:
  """Returns the file to write; refuses what does not go together before anything is loaded."""
  if _OUTPUT.value is None:
    raise InputError('`output` is missing: name the file, NAME.stablehlo or NAME.onnx')
  output = pathlib.Path(_OUTPUT.value).expanduser()
  if output.suffix not in _ENDINGS:
    raise InputError(f'{output}: its ending says what is written: {" or ".join(_ENDINGS)}')
  if output.exists():
    raise InputError(f'{output}: exists already; name another file with `output`')
  if output.suffix == '.onnx' and _PLATFORMS.value:
    raise InputError('`platforms` is for .stablehlo; an .onnx runs wherever onnxruntime does')
  images, masks = (len(flag.value or ()) for flag in (_IMAGES, _MASKS))
  if images != masks:
    raise InputError(
      f'{images} `support_images` and {masks} `support_masks`: give each image its mask'
    )
  if (images or _CLASSES.value) and _SHOTS.value is not None:
    raise InputError('`shots` bakes in no supports: leave out `support_images` and their masks')
  return output


def _make_segmenter() -> 'Segmenter':
  """Loads the network, with the supports that are baked in."""
  from hsnet_jax.segmenter.segmenter import Segmenter
  from hsnet_jax.weights.stored import read_beside

  options: dict[str, Any] = {
    'image_size': _SIZE.value,
    'support_margin': _MARGIN.value,
    'combine': _COMBINE.value,
    'presence_threshold': _PRESENCE.value,
  }
  if _IMAGES.value:
    segmenter = Segmenter.from_pretrained(_CHECKPOINT.value, **options)
    return segmenter.fit(_IMAGES.value, _MASKS.value, _CLASSES.value)
  if _CLASSES.value:
    raise InputError('`support_classes` needs `support_images` and `support_masks`')
  if _SHOTS.value is not None:
    return Segmenter.from_pretrained(_CHECKPOINT.value, **options)
  if not _CHECKPOINT.value.endswith('.safetensors') or not read_beside(_CHECKPOINT.value):
    raise InputError(
      f'{_CHECKPOINT.value}: no supports; give `support_images` and `support_masks` to bake in, or'
      ' `shots`, how many the program is given'
    )
  given = [name for name, value in options.items() if value is not None]
  if given:
    raise InputError(f'`{given[0]}`: {_CHECKPOINT.value} brings its own with its supports')
  return Segmenter.load(_CHECKPOINT.value)


def _write(output: pathlib.Path, segmenter: 'Segmenter') -> dict[str, Any]:
  """Writes the file in the form that its ending names."""
  from hsnet_jax.export import export_onnx, export_stablehlo

  given: dict[str, Any] = {'shots': _SHOTS.value}
  if _BATCH.value is not None:
    given['batch_size'] = _BATCH.value or None
  if output.suffix == '.stablehlo':
    if _PLATFORMS.value:
      given['platforms'] = _PLATFORMS.value
    return export_stablehlo(output, segmenter, **given)
  import logging

  # It tells of each shape that it leaves to be inferred.
  logging.getLogger('onnx_ir').setLevel(logging.ERROR)
  return export_onnx(output, segmenter, **given)


if __name__ == '__main__':
  app.run(main)
