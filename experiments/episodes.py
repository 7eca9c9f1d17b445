"""Prints the test episodes of a benchmark as JSON, to compare any code on the very same ones.

Examples, from the checkout's folder:

  The published 1-shot test of COCO-20i, fold 0, from its lists alone:
    python -m experiments.episodes --benchmark=coco --fold=0 --shot=1 --splits_dir=splits

  The first ten of FSS-1000's 5-shot test, supports of an episode all different:
    python -m experiments.episodes --benchmark=fss --split=test --shot=5 --splits_dir=splits \\
      --episodes=10 --protocol=distinct

Standard output is one line of JSON alone: a list of [query, [supports], class_id], class_id from 0.
No image is read: the published lists are enough, and for FSS-1000 each class has 1.jpg to 10.jpg
unless --data_dir says what there is.
"""

import json

from absl import flags

from data_pipelines.catalog import BENCHMARKS, make_benchmark
from experiments.command import app
from hsnet_jax.errors import InputError

_BENCHMARK = flags.DEFINE_enum('benchmark', None, sorted(BENCHMARKS), 'Which benchmark.')
_FOLD = flags.DEFINE_integer('fold', 0, "Which fold's classes are tested on; fss has fold 0 alone.")
_SPLIT = flags.DEFINE_enum(
  'split', 'val', ['val', 'test'], "Which list. Only fss has two; the others' is both."
)
_SHOT = flags.DEFINE_integer('shot', 1, 'Support images per episode.', lower_bound=1)
flags.DEFINE_alias('shots', 'shot')
_SPLITS_DIR = flags.DEFINE_string(
  'splits_dir', None, 'Folder of the published lists, the one that holds pascal/, coco/ and fss/.'
)
_DATA_DIR = flags.DEFINE_string(
  'data_dir', None, "The benchmark's own folder of images. Only folder needs it."
)
_EPISODES = flags.DEFINE_integer(
  'episodes', None, 'How many. Default: as many as published.', lower_bound=1
)
_PROTOCOL = flags.DEFINE_enum(
  'protocol',
  'published',
  ['published', 'distinct'],
  'published: supports of an episode may repeat each other; distinct: they may not.',
)


def main() -> None:
  """Prints the episodes that the flags name."""
  if _BENCHMARK.value is None:
    raise InputError(f'no benchmark; give `benchmark`, one of {", ".join(sorted(BENCHMARKS))}')
  benchmark = make_benchmark(
    _BENCHMARK.value,
    data_dir=_DATA_DIR.value,
    splits_dir=_SPLITS_DIR.value,
    lists_only=True,
  )
  episodes = benchmark.test_episodes(
    _FOLD.value,
    split=_SPLIT.value if _SPLIT.value in benchmark.splits else 'val',
    shots=_SHOT.value,
    count=_EPISODES.value,
    distinct=_PROTOCOL.value == 'distinct',
  )
  # The fields of an episode are in this order, and JSON has but lists.
  print(json.dumps(episodes, separators=(',', ':')))


if __name__ == '__main__':
  app.run(main)
