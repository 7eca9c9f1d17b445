"""Converts weights between published files and the project's own.

Examples, from the checkout's folder:

  A published HSNet checkpoint (needs torch to read; names its backbone by itself):
    python -m experiments.convert --input=best_model.pt --output=checkpoints/pascal-fold0 \\
      --benchmark=pascal --fold=0

  Back to the published names and layout, for PyTorch. `load_state_dict(strict=False)` takes it:
  the unused classifier is not in it. Names have no `module.`:
    python -m experiments.convert --input=checkpoints/pascal-fold0 --export=hsnet.safetensors

  Keras' ImageNet weights of MobileNet (needs h5py), for --backbone_weights:
    python -m experiments.convert --input=mobilenet_7_5_224_tf_no_top.h5 \\
      --output=mobilenet_v1_075.npz
"""

import os
import pathlib
import sys

if not __package__:  # Run by its path: the checkout's folder is where the packages are.
  sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

import numpy as np
from absl import flags

from data_pipelines import BENCHMARKS
from experiments.command import app
from hsnet_jax import checkpoints
from hsnet_jax.backbones import BACKBONES
from hsnet_jax.errors import InputError
from hsnet_jax.models import count_parameters
from hsnet_jax.weights import convert, files, names

_INPUT = flags.DEFINE_string(
  'input', None, "A published .pt, .pth or .safetensors, a Keras .h5, or a checkpoint's folder."
)
_OUTPUT = flags.DEFINE_string('output', None, "The new checkpoint's folder; the .npz of an .h5.")
_EXPORT = flags.DEFINE_string(
  'export', None, 'The .safetensors to write from a checkpoint, under the published names.'
)
_BACKBONE = flags.DEFINE_enum(
  'backbone', None, list(BACKBONES), 'The backbone in a published checkpoint. Default: detected.'
)
# What a published file does not say about itself; the new checkpoint records it for evaluate.
_BENCHMARK = flags.DEFINE_enum(
  'benchmark',
  None,
  sorted(BENCHMARKS),
  'Benchmark that the checkpoint was trained on, with --fold.',
)
_FOLD = flags.DEFINE_integer(
  'fold', None, 'Fold that it was trained for, with --benchmark.', lower_bound=0
)
_SHOTS = flags.DEFINE_integer('shots', 1, 'Shots that it was trained with.', lower_bound=1)
_IMAGE_SIZE = flags.DEFINE_integer(
  'image_size', 400, 'Side of the squares that it was trained on.', lower_bound=1
)
_MASK_SUPPORT = flags.DEFINE_bool(
  'mask_support', True, "Whether it masks the support's features (Eq. 1)."
)

# The backbone whose ImageNet weights Keras publishes.
_KERAS_BACKBONE = 'mobilenet_v1_075'


def main() -> None:
  """Converts as the flags say."""
  if _INPUT.value is None:
    raise InputError('nothing to convert; give --input')
  if (_OUTPUT.value is None) == (_EXPORT.value is None):
    raise InputError('give either --output, or for a checkpoint --export')
  if (_BENCHMARK.value is None) != (_FOLD.value is None):
    # A fold means nothing without its benchmark, and evaluate would take fold 0 of a benchmark.
    given, missing = ('fold', 'benchmark') if _BENCHMARK.value is None else ('benchmark', 'fold')
    raise InputError(f'--{given} without --{missing}: give both, or neither')
  source = pathlib.Path(os.path.expanduser(_INPUT.value))
  target = pathlib.Path(os.path.expanduser(_OUTPUT.value or _EXPORT.value))
  if target.exists():
    raise InputError(f'{target}: exists already; name another file or folder')
  if _EXPORT.value is not None:
    print(_export(source, target))
  elif source.suffix == '.h5':
    print(_convert_keras(source, target))
  elif source.is_dir():
    raise InputError(f'{source}: a folder is converted with --export=FILE.safetensors')
  else:
    print(_convert_published(source, target))


def _convert_published(source: pathlib.Path, target: pathlib.Path) -> str:
  tensors = files.read_tensors(source)
  backbone = _BACKBONE.value or names.detect_backbone(
    {name: np.shape(value) for name, value in tensors.items()}
  )
  if backbone is None:
    raise InputError(
      f'{source}: not the tensors of an HSNet with a known backbone; --backbone=NAME lists what '
      'differs'
    )
  variables = convert.from_torch(tensors, backbone=backbone, source=str(source))
  config = {
    'backbone': backbone,
    'benchmark': _BENCHMARK.value,
    'fold': _FOLD.value,
    'shots': _SHOTS.value,
    'image_size': _IMAGE_SIZE.value,
    'mask_support': _MASK_SUPPORT.value,
    'converted_from': source.name,
  }
  config = {name: value for name, value in config.items() if value is not None}
  checkpoints.save_checkpoint(target, variables, config=config)
  count = count_parameters(variables['params'])
  return f'{target}: HSNet with {backbone}, {count:,} learnable parameters'


def _export(source: pathlib.Path, target: pathlib.Path) -> str:
  if target.suffix != '.safetensors':
    raise InputError(f'{target}: --export writes a .safetensors file, give it that ending')
  checkpoint = checkpoints.load_checkpoint(source, backbone=_BACKBONE.value)
  backbone = checkpoint.config['backbone']
  tensors = convert.to_torch(checkpoint.variables, backbone=backbone)
  files.write_tensors(target, tensors, metadata={'format': 'pt', 'backbone': backbone})
  return f'{target}: {len(tensors)} tensors of HSNet with {backbone}'


def _convert_keras(source: pathlib.Path, target: pathlib.Path) -> str:
  if target.suffix != '.npz':
    raise InputError(f"{target}: an .h5 file's weights go to an .npz file, give it that ending")
  table = names.keras_tensors(_KERAS_BACKBONE)
  tensors = files.read_keras_h5(source)
  shapes = {name: np.shape(value) for name, value in tensors.items()}
  hint = f'; expected the weights of {_KERAS_BACKBONE}'
  names.check_names(shapes, table, source=str(source), hint=hint)
  files.write_tensors(target, {name: tensors[name] for name in table})
  return f'{target}: {len(table)} tensors of {_KERAS_BACKBONE}'


if __name__ == '__main__':
  app.run(main)
