"""Launch recipes and commands in the documents: what they say can be run."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[1]
RECIPES = sorted((ROOT / 'docs' / 'launch').iterdir())
# Of extending.md a test of its own runs the commands, which it adds.
PAGES = [p for p in sorted((ROOT / 'docs').glob('*.md')) if p.name != 'extending.md']
DOCUMENTS = [ROOT / 'README.md', *PAGES]
SHELL = [path for path in RECIPES if path.suffix == '.sh']

# A command of ours, up to what ends it: a line that is not continued, or in a text the quotes.
COMMAND = re.compile(r'experiments\.(\w+)((?:[^\n`\\]|\\\n)*)')
FLAG = re.compile(r'(?<![\w-])--(\w+)')

# Commands have flags of the same names, so they are imported one after the other.
LIST_FLAGS = """
import importlib, json, sys
from absl import flags
found, kept = {}, []
before = set(flags.FLAGS)
for script in sys.argv[1:]:
  module = importlib.import_module(f'experiments.{script}')
  own = flags.FLAGS.get_key_flags_for_module(module)
  found[script] = [f.name for f in own] + [f'no{f.name}' for f in own if f.boolean]
  for name in set(flags.FLAGS) - before:
    delattr(flags.FLAGS, name)
  for name in [name for name in sys.modules if name.split('.')[0] == 'experiments']:
    kept.append(sys.modules.pop(name))  # absl tells modules by where they lie in memory.
print(json.dumps(found))
"""


def text_of(path):
  """A document's text; folded lines of YAML as one."""
  text = path.read_text(encoding='utf-8')
  if path.suffix != '.yaml':
    return text
  containers = [
    container
    for part in yaml.safe_load_all(text)
    for container in part['spec'].get('template', {}).get('spec', {}).get('containers', [])
  ]
  return '\n'.join(arg for container in containers for arg in container['args'])


def commands(text):
  """(script, flags) of each command in a text."""
  return [(script, FLAG.findall(rest)) for script, rest in COMMAND.findall(text)]


@pytest.fixture(scope='module')
def known():
  """{command: names of its flags} of all commands."""
  scripts = {path.stem for path in (ROOT / 'experiments').glob('[!_]*.py')}
  done = subprocess.run(
    [sys.executable, '-c', LIST_FLAGS, *sorted(scripts)],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  return {script: set(names) for script, names in json.loads(done.stdout).items()}


def unknown(text, known):
  """Flags in a text that no script, or not the one that is run, has."""
  wrong = [
    f'{script} --{flag}'
    for script, used in commands(text)
    for flag in used
    if flag not in {'help', *known.get(script, ())}
  ]
  # Of TensorBoard, of pytest, and of pip.
  every = {'help', 'logdir', 'wide', 'heavy', 'no'}.union(*known.values())
  quoted = FLAG.findall(' '.join(re.findall(r'`([^`\n]*)`', text)))
  return wrong + [f'--{flag}' for flag in quoted if flag not in every]


@pytest.mark.parametrize('path', SHELL, ids=lambda path: path.name)
def test_shell_recipes_are_bash(path):
  done = subprocess.run(['bash', '-n', str(path)], capture_output=True, text=True)
  assert done.returncode == 0 and not done.stderr, done.stderr


@pytest.mark.parametrize(
  'told, does, code, requeued',
  [
    (
      True,
      'trap "touch saved; exit 143" TERM; touch begun; for _ in {1..300}; do sleep 0.1; done',
      143,
      True,
    ),
    (False, 'exit 2', 2, False),
    (False, 'exit 139', 139, True),
    (False, 'exit 0', 0, False),
  ],
)
def test_a_slurm_job_ends_as_its_tasks_do(tmp_path, told, does, code, requeued):
  """With stand-ins for SLURM and for Python; the signal comes to the task itself."""
  for name, lines in {
    'python': does,
    'srun': 'shift\necho $$ > task\nexec "$@"',
    'scontrol': 'echo "$@" > requeued',
  }.items():
    (tmp_path / name).write_text(f'#!/bin/bash\n{lines}\n')
    (tmp_path / name).chmod(0o755)
  path = f'{tmp_path}:{os.environ["PATH"]}'
  env = {**os.environ, 'PATH': path, 'SLURM_JOB_ID': '7', 'SLURM_CPUS_PER_TASK': '4'}
  job = subprocess.Popen(['bash', str(ROOT / 'docs/launch/slurm.sh')], cwd=tmp_path, env=env)
  while told and not (tmp_path / 'begun').exists():
    assert job.poll() is None
    time.sleep(0.05)
  if told:
    os.kill(int((tmp_path / 'task').read_text()), signal.SIGTERM)
  assert job.wait(timeout=60) == code
  assert (tmp_path / 'saved').exists() == told
  assert (tmp_path / 'requeued').exists() == requeued
  assert not list((tmp_path / 'runs').iterdir())


def test_there_is_a_recipe_for_each_place():
  assert [path.name for path in RECIPES] == [
    'by_hand.sh',
    'gke.yaml',
    'several_gpus.sh',
    'slurm.sh',
    'tpu_pod.sh',
  ]
  document = (ROOT / 'docs' / 'training.md').read_text(encoding='utf-8')
  for path in RECIPES:
    assert f'(launch/{path.name})' in document
    assert [script for script, _ in commands(text_of(path))] == ['train'], path


def test_the_manifest_fits_together():
  service, job = yaml.safe_load_all((ROOT / 'docs' / 'launch' / 'gke.yaml').read_text())
  name, pod = job['metadata']['name'], job['spec']['template']['spec']
  assert service['spec']['selector'] == {'job-name': name}
  assert service['spec']['clusterIP'] == 'None'
  assert pod['subdomain'] == service['metadata']['name']
  assert job['spec']['completionMode'] == 'Indexed'
  count = job['spec']['completions']
  assert count == job['spec']['parallelism']
  (container,) = pod['containers']
  (command,) = container['args']
  subprocess.run(['bash', '-n', '-c', command], check=True)
  for flag in (
    f'--coordinator={name}-0.{pod["subdomain"]}:8476',
    f'--num_processes={count}',
    '--process_id="$JOB_COMPLETION_INDEX"',
  ):
    assert flag in command
  codes = {
    rule['onExitCodes']['values'][0]: rule['action']
    for rule in job['spec']['podFailurePolicy']['rules']
    if 'onExitCodes' in rule
  }
  assert codes == {2: 'FailJob', 143: 'Ignore'} and pod['restartPolicy'] == 'Never'


@pytest.mark.parametrize('path', [*DOCUMENTS, *RECIPES], ids=lambda path: path.name)
def test_flags_in_documents_exist(path, known):
  assert not unknown(text_of(path), known)


@pytest.mark.parametrize(
  'text, wrong',
  [
    ('python -m experiments.train --fold=0 --nooverwrite --seed 3', []),
    (
      'python -m experiments.train --fold=0 \\\n  --fould=1\npip install --upgrade',
      ['train --fould'],
    ),
    ('`python -m experiments.evaluate --epochs=3` --fould', ['evaluate --epochs']),
    ('`--split`, with `train --splat=4`, and `--fould', ['--splat']),
  ],
)
def test_a_flag_that_does_not_exist_is_found(text, wrong, known):
  assert unknown(text, known) == wrong
