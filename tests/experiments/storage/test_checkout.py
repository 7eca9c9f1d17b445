"""Children find these packages, in whatever folder they run."""

import os
import subprocess
import sys

from experiments.storage.checkout import child_environment


def test_a_child_in_another_folder_finds_the_packages(root, tmp_path):
  without = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
  command = [sys.executable, '-c', 'import experiments; print(experiments.__file__)']
  done = subprocess.run(
    command, cwd=tmp_path, env=child_environment(without), capture_output=True, text=True
  )
  assert done.stdout.strip() == str(root / 'experiments' / '__init__.py'), done.stderr


def test_what_was_on_the_path_stays():
  path = child_environment({'PYTHONPATH': 'mine', 'A': '1'})
  assert path['A'] == '1' and path['PYTHONPATH'].split(os.pathsep)[-1] == 'mine'
