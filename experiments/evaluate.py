"""Evaluates a checkpoint, or the training-free prototype, by the published protocol.

Examples, from the checkout's folder:

  A trained model, on the benchmark and fold that its checkpoint records:
    python -m experiments.evaluate --checkpoint=runs/shapes-fold0-1shot-tiny/checkpoints/best

  Five shots, on photographs:
    python -m experiments.evaluate --checkpoint=best --shots=5 \\
      --data_dir=VOC2012 --splits_dir=splits

  The floor of every result table, on the same features and episodes:
    python -m experiments.evaluate --checkpoint=best --model=prototype

Prints mIoU, FB-IoU, the IoU of each class, and over pixels accuracy, sensitivity, specificity and
the AUC of the foreground probability, all in percent. Writes results.json, .md and .csv and a
picture grid of the first episodes of each class.
"""

import contextlib
import pathlib
import sys

if not __package__:  # Run by its path: the checkout's folder is where the packages are.
  sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from absl import flags

from data_pipelines import eval_batches, train_batches
from experiments.command import app, common
from experiments.evaluation import methods
from experiments.evaluation.evaluate import evaluate
from experiments.reporting.pictures import draw_grid, save_image
from experiments.reporting.progress import progress_bar
from experiments.reporting.tables import text_table, write_results
from hsnet_jax.errors import InputError
from hsnet_jax.models import Model, check_image_size, describe_devices, load_model, network
from hsnet_jax.whole_files import writable_folder

flags.adopt_module_key_flags(common)
_CHECKPOINT = flags.DEFINE_string('checkpoint', None, "A checkpoint's folder, or its run's.")
_MODEL = flags.DEFINE_enum(
  'model', 'hsnet', ['hsnet', 'prototype'], 'prototype: masked average pooling and one threshold.'
)
_EPISODES = flags.DEFINE_integer(
  'episodes',
  None,
  'How many test episodes. Default: 1000, as published; for fss and folder each image once.',
  lower_bound=1,
)
_SPLIT = flags.DEFINE_enum(
  'split', 'test', ['val', 'test'], "Which list. Only fss has two; the others' is both."
)
_ORIGINAL_SIZE = flags.DEFINE_bool(
  'original_size',
  False,
  "Judge each query at its photograph's own size, the logits resized to it. Default: at"
  ' --image_size, as published.',
)
_ALSO_FIRST = flags.DEFINE_multi_integer(
  'also_first',
  [],
  'Figures over the first so many episodes, too; may be given several times.',
  lower_bound=1,
)
_THRESHOLD_EPISODES = flags.DEFINE_integer(
  'threshold_episodes',
  300,
  "Training episodes that the prototype's threshold is found on.",
  lower_bound=1,
)
_PICTURES = flags.DEFINE_integer(
  'pictures', 10, 'Episodes in the picture grid, the first of each class.', lower_bound=0
)
_OUTPUT_DIR = flags.DEFINE_string(
  'output_dir', None, 'Where results go. Default: evaluation/ in the run, or in runs/prototype.'
)


def main() -> None:
  """Evaluates as the flags say."""
  model = _model()
  benchmark, fold = common.benchmark_from_flags(model.config)
  about = _about(model, benchmark, fold)
  batch = dict(
    fold=fold,
    shots=common.SHOTS.value,
    image_size=about['image_size'],
    batch_size=common.BATCH_SIZE.value or common.recipe(benchmark.name).batch_size,
    distinct=common.PROTOCOL.value == 'distinct',
    num_workers=common.NUM_WORKERS.value,
  )
  batches = eval_batches(
    benchmark,
    split=about['split'],
    count=_EPISODES.value,
    original_size=about['original_size'],
    **batch,
  )
  about |= {'episodes': batches.num_episodes, 'drawn_masks': list(benchmark.drawn_masks)}
  above = [n for n in _ALSO_FIRST.value if n >= about['episodes']]
  if above:
    raise InputError(f'--also_first={above[0]}: there are {about["episodes"]} episodes in all')
  examples = train_batches(benchmark, epochs=1, **batch) if about['model'] == 'prototype' else None
  if examples is None:
    check_image_size(model.module, model.variables, about['image_size'])
  folder = writable_folder(_output_dir(model, about), argument='output_dir')
  _announce(about, model.config)
  step = _step(model, benchmark, examples, about)
  with progress_bar(about['episodes'], unit='episode') as bar:

    def on_batch(count: int, figures: dict) -> None:
      bar.set_postfix(mIoU=f'{figures["miou"]:.2f}', refresh=False)
      bar.update(count)

    result = evaluate(
      step,
      batches,
      benchmark,
      classes=benchmark.test_classes(fold, about['split']),
      first=sorted(set(_ALSO_FIRST.value)),
      pictured=_PICTURES.value,
      on_batch=on_batch,
    )
  about |= {'empty_supports': result.empty_supports, 'seconds': round(result.seconds, 1)}
  _report(result, about, folder)


def _step(model: Model, benchmark, examples, about: dict):
  """The compiled predictor; `about` gets a prototype's threshold, found on training episodes."""
  if examples is None:
    return methods.hsnet_step(model)
  with contextlib.closing(iter(examples)) as batches:
    found = methods.find_threshold(
      model, batches, episodes=_THRESHOLD_EPISODES.value, num_classes=benchmark.num_classes
    )
  about['threshold'] = found['threshold']
  print('threshold {threshold:.4f}, mIoU {miou:.2f} on training episodes'.format(**found))
  return methods.prototype_step(model, about['threshold'])


def _model() -> Model:
  """The model of the checkpoint, or a bare backbone, which is all that a prototype needs."""
  if _CHECKPOINT.value or _MODEL.value == 'hsnet':
    if common.RANDOM_BACKBONE.value or common.BACKBONE_WEIGHTS.value:
      raise InputError('a checkpoint brings its backbone: leave out the flags of its weights')
    options = {'backbone': common.BACKBONE.value, 'precision': common.PRECISION.value}
    return load_model(_CHECKPOINT.value, **options)
  name, weights = common.backbone_from_flags(common.BENCHMARK.value or 'shapes')
  module = network({'backbone': name}, precision=common.PRECISION.value)
  return Model(module, {'backbone': weights})


def _about(model: Model, benchmark, fold: int) -> dict:
  """What is evaluated, as the results file records it."""
  about = {
    'model': _MODEL.value,
    'backbone': model.backbone.name,
    'checkpoint': str(model.path) if model.path else None,
    'step': model.config.get('step'),
    'validation': model.config.get('validation'),
    'benchmark': benchmark.name,
    'fold': fold,
    'split': _SPLIT.value if _SPLIT.value in benchmark.splits else 'val',
    'shots': common.SHOTS.value,
    'protocol': common.PROTOCOL.value,
    'image_size': common.image_size(benchmark.name, model.config),
    'original_size': _ORIGINAL_SIZE.value,
    'precision': common.PRECISION.value or model.config.get('precision', 'float32'),
  }
  if _chosen_in_sight_of_the_test(model, about):
    about['note'] = 'the checkpoint was chosen on these very test episodes'
  return about


def _chosen_in_sight_of_the_test(model: Model, about: dict) -> bool:
  """Whether the score to come is optimistic, as all published ones are.

  A prototype learns nothing but its threshold, on training folds; a run's last checkpoint was not
  chosen by its score. What does not say how it was chosen was chosen as the published ones were.
  """
  trained = model.config.get('benchmark'), model.config.get('fold')
  return (
    about['model'] == 'hsnet'
    and model.path.name != 'last'
    and about['validation'] != 'heldout'
    and about['split'] == 'val'  # What training validates on.
    and trained in ((None, None), (about['benchmark'], about['fold']))
  )


def _output_dir(model: Model, about: dict) -> pathlib.Path:
  if _OUTPUT_DIR.value:
    return pathlib.Path(_OUTPUT_DIR.value).expanduser()
  name = '{model}-{benchmark}-fold{fold}-{shots}shot'.format(**about)
  name += '-original_size' if about['original_size'] else ''
  if model.path is None:
    return pathlib.Path('runs', 'prototype', f'{name}-{model.backbone.name}')
  run = model.path.parent
  run = run.parent if run.name == 'checkpoints' else run
  return run / 'evaluation' / name


def _announce(about: dict, config: dict) -> None:
  print('device:', describe_devices())
  print('model: {model}, backbone {backbone}'.format(**about), end='')
  print(f', {about["checkpoint"]}' if about['checkpoint'] else '', end='')
  print(f', step {about["step"]}' if about['step'] is not None else '')
  print(
    'episodes: {episodes} of {benchmark} fold {fold}, {shots}-shot, {protocol} protocol,'
    ' {image_size} x {image_size}'.format(**about)
    + (", judged at each photograph's own size" if about['original_size'] else ''),
    flush=True,
  )
  trained = config.get('benchmark'), config.get('fold')
  if trained[0] == about['benchmark'] and trained[1] != about['fold']:
    print(
      f'warning: the checkpoint was trained for fold {trained[1]}, so it has seen these classes',
      file=sys.stderr,
    )


def _report(result, about: dict, folder: pathlib.Path) -> None:
  print(text_table(result.columns))
  if result.empty_supports:
    print(f'{result.empty_supports} episodes had a support mask without foreground; they count')
  if 'note' in about:
    print(f'note: {about["note"]}')
  written = write_results(folder, columns=result.columns, about=about)
  if result.panels:
    title = '{model} on {benchmark} fold {fold}, {shots}-shot'.format(**about)
    title += f': mIoU {result.figures["miou"]:.1f}'
    written.append(folder / 'episodes.png')
    save_image(written[-1], draw_grid(result.panels, title=title))
  print(f'{result.seconds:.0f} s; written:', *written, sep='\n  ')


if __name__ == '__main__':
  app.run(main)
