"""Converts weights between published files and the project's own.

Examples, from the checkout's folder:

  A published HSNet checkpoint (needs torch to read; names its backbone by itself):
    python -m experiments.convert --input=best_model.pt --output=checkpoints/pascal-fold0 \\
      --benchmark=pascal --fold=0

  Back to the published names and layout, for PyTorch. `load_state_dict(strict=False)` takes it:
  the unused classifier is not in it. Names have no `module.`:
    python -m experiments.convert --input=checkpoints/pascal-fold0 --export=hsnet.safetensors

  ImageNet weights of any backbone (.pth needs torch), for --backbone_weights:
    python -m experiments.convert --input=efficientnet-lite0-57934424.pth \\
      --output=efficientnet_lite0.safetensors

  Keras' ImageNet weights of MobileNet (needs h5py), likewise:
    python -m experiments.convert --input=mobilenet_7_5_224_tf_no_top.h5 \\
      --output=mobilenet_v1_075.npz
"""

import pathlib

from absl import flags

from data_pipelines.catalog import BENCHMARKS
from experiments.command import app
from hsnet_jax.backbones import BACKBONES
from hsnet_jax.errors import InputError

_INPUT = flags.DEFINE_string(
  'input', None, "A published .pt, .pth or .safetensors, a Keras .h5, or a checkpoint's folder."
)
_OUTPUT = flags.DEFINE_string(
  'output', None, "The new checkpoint's folder; a backbone's .safetensors; the .npz of an .h5."
)
_EXPORT = flags.DEFINE_string(
  'export', None, 'The .safetensors to write from a checkpoint, under the published names.'
)
_HALF = flags.DEFINE_bool(
  'half', False, "Round an export's backbone to float16: a file of half the size."
)
_BACKBONE = flags.DEFINE_enum(
  'backbone', None, list(BACKBONES), 'The backbone in a published file. Default: detected.'
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


def main() -> None:
  """Converts as the flags say."""
  if _INPUT.value is None:
    raise InputError('nothing to convert; give `input`')
  output, export = _OUTPUT.value, _EXPORT.value
  if (output is None) == (export is None):
    raise InputError('give either `output`, or for a checkpoint `export`')
  if _HALF.value and export is None:
    raise InputError('`half` is for `export`')
  if (_BENCHMARK.value is None) != (_FOLD.value is None):
    # A fold means nothing without its benchmark, and evaluate would take fold 0 of a benchmark.
    given, missing = ('fold', 'benchmark') if _BENCHMARK.value is None else ('benchmark', 'fold')
    raise InputError(f'`{given}` without `{missing}`: give both, or neither')
  from experiments.storage import conversion

  if output is None:
    assert export is not None
    print(
      conversion.export_checkpoint(_INPUT.value, export, backbone=_BACKBONE.value, half=_HALF.value)
    )
  elif pathlib.Path(_INPUT.value).suffix == '.h5':
    print(conversion.import_keras(_INPUT.value, output))
  elif pathlib.Path(output).suffix == '.safetensors':
    print(conversion.import_backbone(_INPUT.value, output, backbone=_BACKBONE.value))
  else:
    recorded = {
      'benchmark': _BENCHMARK.value,
      'fold': _FOLD.value,
      'shots': _SHOTS.value,
      'image_size': _IMAGE_SIZE.value,
      'mask_support': _MASK_SUPPORT.value,
    }
    print(
      conversion.import_published(_INPUT.value, output, backbone=_BACKBONE.value, config=recorded)
    )


if __name__ == '__main__':
  app.run(main)
