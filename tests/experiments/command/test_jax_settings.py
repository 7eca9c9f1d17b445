"""What users set in the environment for JAX: platforms that are not there, types, transfers."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsnet_jax.checkpoints import load_checkpoint, save_checkpoint
from tests.experiments.evaluation.given import mask, picture
from tests.made import variables

# All that JAX can be asked to be strict about.
STRICT = {
  'JAX_ENABLE_X64': '1',
  'JAX_NUMPY_DTYPE_PROMOTION': 'strict',
  'JAX_TRANSFER_GUARD': 'disallow',
}


@pytest.fixture(scope='module')
def given(tmp_path_factory):
  """A folder with a checkpoint `c`, a photograph and a mask."""
  folder = tmp_path_factory.mktemp('given')
  config = {'backbone': 'tiny', 'benchmark': 'shapes', 'fold': 1, 'image_size': 64}
  save_checkpoint(folder / 'c', variables('tiny'), config=config, step=3)
  picture(folder / 'a.png')
  mask(folder / 'm.png')
  return folder


@pytest.fixture
def run_with(environment):
  """Runs a command as a user does, with settings of JAX."""

  def run(settings, command, *args, cwd):
    return subprocess.run(
      [sys.executable, '-m', f'experiments.{command}', *map(str, args)],
      cwd=cwd,
      env={**environment, **settings},
      capture_output=True,
      text=True,
      timeout=400,
    )

  return run


PREDICT = ('predict', '--checkpoint=c', '--query=a.png', '--support_images=a.png')
PREDICT = (*PREDICT, '--support_masks=m.png', '--output_dir=predicted')
EVALUATE = ('evaluate', '--checkpoint=c', '--episodes=2', '--batch_size=2', '--output_dir=results')


@pytest.mark.parametrize(
  'platform, command',
  [
    ('cuda', ('train', '--random_backbone', '--run_dir=run')),
    pytest.param('tpu', ('train', '--random_backbone', '--run_dir=run'), marks=pytest.mark.heavy),
    pytest.param('cuda', EVALUATE, marks=pytest.mark.heavy),
    ('tpu', PREDICT),
    pytest.param('cuda', ('train_tiny', '--output=t.safetensors'), marks=pytest.mark.heavy),
    ('nowhere', ('convert', '--input=c', '--export=d.safetensors')),
  ],
)
def test_a_platform_that_is_not_there_is_one_line(run_with, failure, given, platform, command):
  before = sorted(given.rglob('*'))
  done = run_with({'JAX_PLATFORMS': platform}, *command, cwd=given)
  line = failure(done)
  assert platform in line and 'damaged' not in line
  assert len(done.stderr.splitlines()) == 1
  assert sorted(given.rglob('*')) == before


def check_trains_as_usual(run_with, small, trained, folder, settings):
  """Trains, evaluates and predicts; the parameters are those of a run without the settings."""
  done = run_with(settings, 'train', *small, '--max_steps=3', '--run_dir=c', cwd=folder)
  assert done.returncode == 0, done.stderr
  usual, strict = (
    load_checkpoint(run / 'checkpoints' / 'last') for run in (trained[0], folder / 'c')
  )
  assert strict.step == usual.step == 3
  for a, b in zip(*map(jax.tree.leaves, (usual.variables, strict.variables)), strict=True):
    assert a.dtype == b.dtype == jnp.float32
    # Adam's step is as long for a gradient next to 0, whose sign is rounding's: of those there are
    # a few. All others agree to a tenth of one step.
    apart = np.abs(np.asarray(a) - b)
    assert np.mean(apart > 1e-4) <= 1e-3 and apart.max() <= 3e-3
  for command in (EVALUATE, PREDICT):
    done = run_with(settings, *command, cwd=folder)
    assert done.returncode == 0, done.stderr
  assert (folder / 'results' / 'results.json').is_file() and any((folder / 'predicted').iterdir())


@pytest.mark.heavy
def test_all_strict_settings_together(run_with, small, trained, tmp_path):
  picture(tmp_path / 'a.png')
  mask(tmp_path / 'm.png')
  check_trains_as_usual(run_with, small, trained, tmp_path, STRICT)


@pytest.mark.wide
@pytest.mark.parametrize('name', STRICT)
def test_each_strict_setting_alone(run_with, small, trained, tmp_path, name):
  picture(tmp_path / 'a.png')
  mask(tmp_path / 'm.png')
  options = ('--augment=all', '--ema=0.9', '--clip=1', '--weight_decay=0.1', '--accumulate=2')
  options = (*small, *options, '--warmup_steps=1', '--schedule=cosine', '--max_steps=2')
  done = run_with({name: STRICT[name]}, 'train', *options, '--run_dir=all', cwd=tmp_path)
  assert done.returncode == 0, done.stderr
  check_trains_as_usual(run_with, small, trained, tmp_path, {name: STRICT[name]})
