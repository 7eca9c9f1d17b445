"""Says which flags and values `experiments.train` would refuse: a process for `search_space`.

It reads `{flag: [text of a value, ...]}` as JSON from stdin and writes `{flag: what is wrong}`, of
those flags alone with which something is.
"""

import importlib
import json
import sys

from absl import flags


def problems(values: dict[str, list[str]]) -> dict[str, str]:
  """Tries values on the flags of `experiments.train`.

  Args:
    values: {flag: texts of values}.

  Returns:
    {flag: what is wrong}, without the flags that are fine.
  """
  importlib.import_module('experiments.train')
  known = {flag.name: flag for flag in flags.FLAGS.get_key_flags_for_module('experiments.train')}
  found = {}
  for name, texts in values.items():
    if name not in known:
      found[name] = 'experiments.train has no such flag; its --help shows them'
      continue
    for text in texts:
      try:
        known[name].parser.parse(text)
      except (ValueError, TypeError) as error:
        found.setdefault(name, f'{text} is no value of this flag ({error})')
  return found


if __name__ == '__main__':
  json.dump(problems(json.load(sys.stdin)), sys.stdout)
