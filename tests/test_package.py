"""What is installed: dependencies that agree, files in the package, a core that stands alone."""

import os
import re
import subprocess
import sys
import tomllib

import pytest

import hsnet_jax

# Modules of the extras whose package has another name.
MODULES = {'dm-pix': 'dm_pix', 'pillow': 'PIL', 'tensorflow-datasets': 'tensorflow_datasets'}
# What flax itself brings along.
BROUGHT = {'orbax-checkpoint', 'absl-py', 'requests', 'psutil', 'tqdm', 'huggingface_hub', 'pyyaml'}


@pytest.fixture(scope='module')
def project(root):
  return tomllib.loads((root / 'pyproject.toml').read_text(encoding='utf-8'))


def name_of(requirement):
  return re.match(r'[\w.-]+', requirement).group()


def listed(path):
  lines = (line.strip() for line in path.read_text(encoding='utf-8').splitlines())
  return {line for line in lines if line and not line.startswith('#')}


def extra(project, name):
  """All requirements of an extra, those of the extras that it names among them."""
  found = set()
  for requirement in project['project']['optional-dependencies'][name]:
    if own := re.fullmatch(r'hsnet-jax\[(.*)\]', requirement):
      for other in own.group(1).split(','):
        found |= extra(project, other)
    else:
      found.add(requirement)
  return found


def test_requirements_are_what_the_commands_extra_brings(root, project):
  core = set(project['project']['dependencies'])
  assert listed(root / 'requirements.txt') == core | extra(project, 'train')


@pytest.mark.parametrize('name', ['sweep', 'report', 'page'])
def test_the_tests_need_what_an_extra_needs(root, project, name):
  needed = listed(root / 'requirements.txt') | listed(root / 'requirements-test.txt')
  assert extra(project, name) <= needed


def test_the_lowest_versions_are_those_of_the_project(root, project):
  lowest = {}
  needed = extra(project, 'train') | extra(project, 'report') | extra(project, 'page')
  for requirement in {*project['project']['dependencies'], *needed}:
    lowest[name_of(requirement)] = re.search(r'>=([\d.]+)', requirement).group(1)
  pinned = dict(line.split('==') for line in listed(root / 'requirements-lowest.txt'))
  for name, version in lowest.items():
    parts, wanted = pinned[name].split('.'), version.split('.')
    assert parts[: len(wanted)] == wanted, name
    assert not any(int(part) for part in parts[len(wanted) :]), name


def test_the_version_is_the_changelogs(root):
  changes = (root / 'CHANGELOG.md').read_text(encoding='utf-8')
  assert re.search(r'^## (\d+\.\d+\.\d+)', changes, re.MULTILINE).group(1) == hsnet_jax.__version__


def test_files_that_are_no_modules_are_packaged(root, project):
  """Whatever lies beside the modules is named as package data."""
  packaged = set()
  for package, patterns in project['tool']['setuptools']['package-data'].items():
    for pattern in patterns:
      found = set((root / package.replace('.', '/')).glob(pattern))
      assert found, (package, pattern)
      packaged |= found
  for package in ('hsnet_jax', 'data_pipelines', 'experiments'):
    for path in (root / package).rglob('*'):
      if path.is_file() and '__pycache__' not in path.parts and path.suffix != '.py':
        assert path in packaged, path


@pytest.mark.heavy
def test_the_core_stands_alone(root, project, tmp_path):
  names = {name_of(requirement) for requirement in extra(project, 'all')}
  names -= {name_of(requirement) for requirement in project['project']['dependencies']} | BROUGHT
  hidden = ','.join(sorted(MODULES.get(name, name) for name in names))
  assert 'dm_pix' in hidden
  command = [sys.executable, root / 'tests' / 'core_alone.py', '--hide', hidden]
  # Not from the checkout's folder: it is found as any installed package is.
  environment = os.environ | {'PYTHONPATH': str(root)}
  done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
