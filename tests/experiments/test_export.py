"""The command experiments.export; what it writes is tested in hsnet_jax/export/."""

import pytest

import hsnet_jax as hs
from hsnet_jax.export import read_exported

PHOTOGRAPHS = ('coins.jpg', 'coins_mask.png', 'more_coins.jpg')


@pytest.mark.heavy  # A real process, and a network that takes a while to compile.
def test_a_real_process_exports_photos(root, script, tmp_path):
  image, mask, query = (str(root / 'experiments' / 'photographs' / one) for one in PHOTOGRAPHS)
  supports = [f'--support_images={image}', f'--support_masks={mask}']
  done = script('export', '--output=a.stablehlo', *supports, f'--check={query}', cwd=tmp_path)
  assert (done.returncode, done.stderr) == (0, '')
  first, second = done.stdout.splitlines()
  assert 'images [batch, 320, 320, 3]' in first and 'baked in' in first
  assert float(second.split(' by ')[1].split()[0]) <= 1e-5
  # Nothing of it names a folder of this machine.
  assert str(root).encode() not in (tmp_path / 'a.stablehlo').read_bytes()
  segmenter = hs.Segmenter.from_pretrained('photos').fit([image], [mask])
  segmenter.save(tmp_path / 'coins.safetensors')
  saved = ['--checkpoint=coins.safetensors', '--output=b.stablehlo']
  done = script('export', *saved, f'--check={query}', cwd=tmp_path)
  assert (done.returncode, done.stderr) == (0, '')
  assert float(done.stdout.splitlines()[1].split(' by ')[1].split()[0]) <= 1e-5
  assert read_exported(tmp_path / 'b.stablehlo').about['combine'] == 'mean'


OUT = '--output=a.stablehlo'
SUPPORT = '--support_images=a.jpg'


@pytest.mark.parametrize(
  'flags, words',
  [
    ([], '--output is missing'),
    (['--output=a.pb'], '.stablehlo or .onnx'),
    ([OUT], 'photos: no supports; give --support_images'),
    ([OUT, '--checkpoint=none', '--shots=1'], 'none'),
    ([OUT, '--checkpoint=none.safetensors'], 'none.safetensors'),
    ([OUT, SUPPORT], '1 --support_images and 0 --support_masks'),
    ([OUT, SUPPORT, '--support_masks=a.png'], 'a.jpg'),
    ([OUT, SUPPORT, '--support_masks=a.png', '--shots=1'], '--shots bakes in no supports'),
    ([OUT, '--support_classes=dog'], '--support_classes needs'),
    ([OUT, '--shots=0'], '--shots'),
    ([OUT, '--shots=1', '--platforms=gpu'], '--platforms'),
    ([OUT, '--shots=1', '--check=none.jpg'], 'none.jpg'),
    (['--output=a.onnx', '--shots=1', '--platforms=cpu'], '--platforms is for .stablehlo'),
  ],
)
def test_what_does_not_fit_is_one_line(served, failure, tmp_path, flags, words):
  assert words in failure(served('export', *flags, cwd=tmp_path))
  assert list(tmp_path.iterdir()) == []


def test_what_is_there_stays(served, failure, tmp_path):
  (tmp_path / 'a.stablehlo').write_bytes(b'mine')
  assert 'exists already' in failure(served('export', OUT, '--shots=1', cwd=tmp_path))
  assert (tmp_path / 'a.stablehlo').read_bytes() == b'mine'
