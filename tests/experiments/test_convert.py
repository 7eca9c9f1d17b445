"""The command experiments.convert; what it does is tested in storage/test_conversion.py."""

import pytest

from hsnet_jax.checkpoints import load_checkpoint
from hsnet_jax.weights.files import read_tensors, write_tensors
from hsnet_jax.weights.names import hsnet_tensors
from tests.golden_recipe import weight


@pytest.mark.heavy  # A real process; storage/test_conversion.py has all of it.
def test_a_real_process_converts_there_and_back(script, served, tmp_path):
  tensors = {name: weight(name, tensor.shape) for name, tensor in hsnet_tensors('tiny').items()}
  write_tensors(tmp_path / 'a.safetensors', tensors)
  flags = ['--input=a.safetensors', '--output=c', '--benchmark=pascal', '--fold=3', '--shots=5']
  done = script('convert', *flags, cwd=tmp_path)
  assert (done.returncode, done.stderr) == (0, '') and 'HSNet with tiny' in done.stdout
  config = load_checkpoint(tmp_path / 'c').config
  expected = {'benchmark': 'pascal', 'fold': 3, 'shots': 5, 'mask_support': True}
  assert config | expected | {'image_size': 400} == config
  done = served('convert', '--input=c', '--export=b.safetensors', cwd=tmp_path)
  assert (done.returncode, done.stderr) == (0, '')
  back = read_tensors(tmp_path / 'b.safetensors')
  assert {name: value.tobytes() for name, value in back.items()} == {
    name: value.tobytes() for name, value in tensors.items()
  }


@pytest.mark.parametrize(
  'flags, words',
  [
    ([], '--input'),
    (['--input=none.pt', '--output=c'], 'none.pt: there is no such file'),
    (['--input=c'], '--output, or for a checkpoint --export'),
    (['--input=c', '--output=d', '--export=e'], '--output, or for a checkpoint --export'),
    (['--input=c', '--output=d', '--benchmark=pascal'], '--benchmark without --fold'),
    (['--input=c', '--output=d', '--fold=0'], '--fold without --benchmark'),
    (['--input=.', '--output=d'], '--export=FILE.safetensors'),
    (['--input=c', '--output=d', '--half'], '--half is for --export'),
  ],
)
def test_what_does_not_fit_is_one_line(served, failure, tmp_path, flags, words):
  assert words in failure(served('convert', *flags, cwd=tmp_path))
  assert list(tmp_path.iterdir()) == []
