"""Checks of every image on a benchmark's lists, before a set is prepared from it.

An image is sound if it and its mask can be read, are of sizes that go together, and the mask holds
no value that is no class, and every class that the image is listed under. What has been found is
written to a journal at once, so that a second attempt reads only what is new or has changed. A
label that is drawn has no file by which to tell, and is drawn and checked again.
"""

import concurrent.futures
import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from data_pipelines.benchmark import Benchmark
from data_pipelines.reading.files import digest_of
from data_pipelines.reading.images import Encoded, Source
from data_pipelines.splits import Split
from hsnet_jax.errors import InputError

# How many images are read between two looks at whether to stop.
_CHUNK = 256


@dataclasses.dataclass(frozen=True)
class Finding:
  """Holds what is known of an image.

  Attributes:
    name: the image's.
    values: the different values of its label.
    files: see `file_versions`.
    mask: what messages call its mask.
    problem: why it cannot be used; empty where it can.
  """

  name: str
  values: Sequence[int] = ()
  files: Sequence[Sequence[str | int]] = ()
  mask: str = ''
  problem: str = ''


def listed_classes(lists: Iterable[Split]) -> dict[str, set[int]]:
  """Collects the classes that each image is listed under, images in the order of the lists.

  Args:
    lists: all of a benchmark's.

  Returns:
    {image name: its class_ids}.
  """
  listed: dict[str, set[int]] = {}
  for split in lists:
    for name, class_id in split.items:
      listed.setdefault(name, set()).add(class_id)
  return listed


def all_lists(benchmark: Benchmark) -> dict[tuple[int, str], Split]:
  """Maps (fold, name) to the list, of every list of a benchmark."""
  keys = [(fold, name) for fold in range(benchmark.num_folds) for name in benchmark.splits]
  return {key: benchmark.split(*key) for key in keys}


def check_images(
  benchmark: Benchmark,
  listed: Mapping[str, Iterable[int]],
  *,
  journal: Path,
  on_image: Callable[[], object] = lambda: None,
) -> dict[str, Finding]:
  """Reads every image and its mask.

  Args:
    benchmark: what to read.
    listed: the classes that each image is listed under.
    journal: a file of what is known already, which is written on.
    on_image: called for each image as it is done.

  Returns:
    {image name: what was found}, in the order of `listed`.
  """
  known = _read_journal(journal)
  findings: dict[str, Finding] = {}
  journal.parent.mkdir(parents=True, exist_ok=True)
  with (
    open(journal, 'a', encoding='utf-8') as file,
    concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool,
  ):
    file.write('\n')  # Ends the line that a stopped attempt was writing.
    names = list(listed)
    for start in range(0, len(names), _CHUNK):
      chunk = names[start : start + _CHUNK]
      new = [name for name in chunk if name not in known or _changed(known[name])]
      for name in set(chunk).difference(new):
        findings[name] = known[name]
        on_image()
      for finding in pool.map(lambda name: _check_image(benchmark, name), new):
        findings[finding.name] = finding
        file.write(json.dumps(dataclasses.asdict(finding)) + '\n')
        file.flush()
        on_image()
  return {name: _with_classes(benchmark, findings[name], listed[name]) for name in names}


def file_versions(
  benchmark: Benchmark, names: Iterable[str], *, on_image: Callable[[], object] = lambda: None
) -> dict[str, list[list[str | int]]]:
  """Finds what tells images and their masks from a later state of them.

  Args:
    benchmark: whose images they are.
    names: the images'.
    on_image: called for each image as it is done.

  Returns:
    For each image [path, size, time of the last change] of its files that there are, and ['', size,
    digest] of what is drawn, which is drawn for it; nothing where it cannot be.
  """

  def version(name: str) -> list[list[str | int]]:
    try:
      return _versions(benchmark.encoded(name))
    except InputError:
      return []

  versions = {}
  names = list(names)
  with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    for name, found in zip(names, pool.map(version, names), strict=True):
      versions[name] = found
      on_image()
  return versions


def files_digest(versions: Mapping[str, Sequence[Sequence[str | int]]]) -> str:
  """Digests what `file_versions` gives, but for the paths: a folder may be moved."""
  held = [[name, [version[1:] for version in files]] for name, files in versions.items()]
  return digest_of(held)


def _check_image(benchmark: Benchmark, name: str) -> Finding:
  files = []
  try:
    sources = benchmark.encoded(name)
    files = _versions(sources)
    _, label = benchmark.decode(name, *sources)
  except InputError as error:
    return Finding(name, files=files, problem=str(error))
  values = np.flatnonzero(np.bincount(label.ravel())).tolist()
  return Finding(name, values, files, mask=str(sources[1]))


def _versions(sources: Sequence[Source]) -> list[list[str | int]]:
  versions = []
  for source in sources:
    if isinstance(source, Encoded):
      versions.append(['', len(source.data), hashlib.sha256(source.data).hexdigest()])
    elif os.path.exists(source):
      stat = os.stat(source)
      versions.append([os.path.abspath(source), stat.st_size, stat.st_mtime_ns])
  return versions


def _with_classes(benchmark: Benchmark, finding: Finding, classes: Iterable[int]) -> Finding:
  """Returns the finding with what its values say against it."""
  if finding.problem:
    return finding
  unknown = [
    value
    for value in finding.values
    if value > benchmark.num_classes and value != benchmark.boundary
  ]
  missing = [c for c in sorted(classes) if c + 1 not in finding.values]
  if unknown:
    problem = f'value {unknown[0]} is no class; a mask holds 0 and 1 to {benchmark.num_classes}'
  elif missing:
    names = benchmark.class_names
    named = f'{names[missing[0]]!r} ' if missing[0] < len(names) else ''
    problem = f'does not show class {named}({missing[0] + 1}) that {finding.name} is listed under'
  else:
    return finding
  return dataclasses.replace(finding, problem=f'{finding.mask}: {problem}')


def _read_journal(path: Path) -> dict[str, Finding]:
  """Reads what an earlier attempt found to be sound; the rest may have been mended since."""
  known = {}
  text = path.read_text(encoding='utf-8', errors='replace') if path.exists() else ''
  for line in text.splitlines():
    try:
      finding = Finding(**json.loads(line))
    except (ValueError, TypeError, RecursionError):
      continue  # The line that was being written when the process ended.
    if not _is_finding(finding):
      continue
    if finding.problem:
      known.pop(finding.name, None)
    else:
      known[finding.name] = finding
  return known


def _is_finding(finding: Finding) -> bool:
  """Tells whether what a line holds is of the types that a finding has."""
  texts = (finding.name, finding.mask, finding.problem)
  if not all(isinstance(text, str) for text in texts):
    return False
  if not isinstance(finding.values, list) or not isinstance(finding.files, list):
    return False
  return all(type(value) is int for value in finding.values) and all(
    isinstance(file, list) and len(file) == 3 and isinstance(file[0], str) for file in finding.files
  )


def _changed(finding: Finding) -> bool:
  """Tells whether a file is another since; of what is drawn, only drawing it anew could tell."""
  for path, size, time in finding.files:
    if not path:
      return True
    try:
      now = os.stat(path)
    except OSError:
      return True
    if (now.st_size, now.st_mtime_ns) != (size, time):
      return True
  return False
