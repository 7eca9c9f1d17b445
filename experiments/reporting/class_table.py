"""Lays out how many images each class has, as `experiments.prepare` prints it."""

from collections.abc import Mapping

from data_pipelines import Benchmark, Split


def class_table(
  benchmark: Benchmark, lists: Mapping[tuple[int, str], Split], skipped: Mapping[str, object]
) -> str:
  """Lays out how many images each class has in each list, by the fold that tests on it.

  Args:
    benchmark: the benchmark.
    lists: all of its lists.
    skipped: the images that are left out.

  Returns:
    A line for each class. A class that a list should have and that has too few images in it to
    make an episode of is pointed out.
  """
  sizes = {
    key: {c: len(set(names).difference(skipped)) for c, names in split.by_class.items()}
    for key, split in lists.items()
  }
  folds, tests = range(benchmark.num_folds), [s for s in benchmark.splits if s != 'trn']
  tested = {
    (c, split): fold
    for fold in folds
    for split in tests
    for c in benchmark.test_classes(fold, split)
  }
  rows = []
  for class_id in range(benchmark.num_classes):
    fold = next((tested[class_id, s] for s in tests if (class_id, s) in tested), 0)
    counts = [max(sizes[f, split].get(class_id, 0) for f in folds) for split in benchmark.splits]
    if not any(counts) and not _named(benchmark, class_id):
      continue  # A shortened list of FSS-1000 leaves numbers without a class.
    trained = benchmark.num_folds > 1 or not any((class_id, s) in tested for s in tests)
    few = [
      split
      for split, count in zip(benchmark.splits, counts, strict=True)
      if count < 2 and (trained if split == 'trn' else (class_id, split) in tested)
    ]
    label = _named(benchmark, class_id)
    note = f'  too few for an episode in {" and ".join(few)}' if few else ''
    rows.append((fold, f'{fold:4} {class_id:5}  {label:20}', counts, note))
  header = f'fold class  {"name":20}' + ''.join(f'{split:>7}' for split in benchmark.splits)
  lines = [f'{start}{"".join(f"{n:7}" for n in c)}{note}' for _, start, c, note in sorted(rows)]
  return '\n'.join([header, *lines])


def _named(benchmark: Benchmark, class_id: int) -> str:
  names = benchmark.class_names
  return names[class_id] if class_id < len(names) else ''
