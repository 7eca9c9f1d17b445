"""experiments/predict.py from end to end, on images of every kind."""

import jax
import numpy as np
import pytest
from PIL import Image

import hsnet_jax as hs
from experiments.command import inputs
from experiments.evaluation import methods
from hsnet_jax.checkpoints import save_checkpoint
from hsnet_jax.errors import InputError
from hsnet_jax.models import Model, load_model
from tests.made import variables

RNG = np.random.default_rng(0)


def picture(path, *, size=(60, 45), mode='RGB', orientation=None):
  image = Image.fromarray(RNG.integers(0, 256, (size[1], size[0], 3), np.uint8))
  exif = Image.Exif()
  if orientation:
    exif[0x0112] = orientation
  if mode == 'I;16':
    image = Image.fromarray(RNG.integers(0, 2**16, (size[1], size[0])).astype(np.uint16))
  elif mode != 'RGB':
    image = image.convert(mode)
  image.save(path, exif=exif)
  return path


def mask(path, *, size=(60, 45), value=255, box=(10, 10, 40, 30)):
  array = np.zeros((size[1], size[0]), np.uint8)
  array[box[1] : box[3], box[0] : box[2]] = value
  Image.fromarray(array).save(path)
  return path


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
  """The folder of a run whose best checkpoint holds made weights: quicker than to train some."""
  folder = tmp_path_factory.mktemp('run')
  config = {'backbone': 'tiny', 'image_size': 64}
  save_checkpoint(folder / 'checkpoints' / 'best', variables('tiny'), config=config)
  return folder


@pytest.fixture
def supports(tmp_path):
  """Flags of two supports, one of them a photograph that lies on its side."""
  folder = tmp_path / 'supports'
  folder.mkdir()
  images = [
    picture(folder / 'a.jpg'),
    picture(folder / 'b.jpg', orientation=6),
  ]
  masks = [mask(folder / 'a.png'), mask(folder / 'b.png', size=(45, 60))]
  return [
    f'--support_images={",".join(map(str, images))}',
    f'--support_masks={",".join(map(str, masks))}',
  ]


def test_masks_have_the_size_of_the_upright_query(served, checkpoint, supports, tmp_path):
  folder = tmp_path / 'queries'
  folder.mkdir()
  # Each size is compiled for.
  sizes = {'wide': (90, 40), 'grey': (33, 70), 'alpha': (33, 70), 'deep': (90, 40)}
  picture(folder / 'wide.jpg', size=(90, 40))
  picture(folder / 'grey.jpg', size=(33, 70), mode='L')
  picture(folder / 'alpha.png', size=(33, 70), mode='RGBA')
  picture(folder / 'deep.png', size=(90, 40), mode='I;16')
  (folder / 'notes.txt').write_text('no image')
  turned = picture(tmp_path / 'turned.jpg', size=(80, 30), orientation=6)
  out = tmp_path / 'out'
  done = served(
    'predict', f'--checkpoint={checkpoint}', *supports, f'--query={folder},{turned}',
    f'--output_dir={out}',
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  assert '2-shot' in done.stdout and str(out) in done.stdout
  sizes['turned'] = (30, 80)
  expected = {f'{name}_{kind}.png' for name in sizes for kind in ('mask', 'overlay')}
  assert {p.name for p in out.iterdir()} == expected
  for name, size in sizes.items():
    with Image.open(out / f'{name}_mask.png') as image:
      assert image.size == size and image.mode == 'L'
      assert set(np.unique(image)) <= {0, 255}
    assert Image.open(out / f'{name}_overlay.png').size == size


@pytest.mark.parametrize('shots', [1, 2])
def test_a_mask_is_what_the_library_segments(shots):
  rng, made = np.random.default_rng(1), variables('tiny')
  module, size = hs.HSNet('tiny'), (50, 81)
  query = rng.integers(0, 256, (64, 96, 3), np.uint8)
  images = rng.integers(0, 256, (shots, 64, 96, 3), np.uint8)
  masks = np.zeros((shots, 64, 96), np.uint8)
  masks[:, 20:50, 30:70] = 1
  prediction = methods.predictor(Model(module, made), images, masks)(query, size)

  @jax.jit
  def segment(made, query, images, masks):
    support_set = hs.encode_support(module, made, hs.normalize(images, 'tiny'), masks)
    query = hs.normalize(query[None], 'tiny')
    return hs.segment(module, made, query, support_set, output_size=size).mask[0]

  expected = segment(made, query, images, masks)
  assert set(np.unique(prediction)) == {0, 1}, 'a mask of one value would show nothing'
  assert prediction.shape == size and prediction.dtype == np.uint8
  np.testing.assert_array_equal(prediction, expected)


@pytest.mark.parametrize('case', ['truncated query', 'empty mask'])
def test_bad_input_is_one_line_and_nothing_is_written(
  served, failure, checkpoint, supports, tmp_path, case
):
  query = picture(tmp_path / 'q.jpg', size=(200, 200))
  args = [*supports, f'--checkpoint={checkpoint}', f'--query={query}']
  if case == 'truncated query':
    query.write_bytes(query.read_bytes()[:3000])
    words = 'q.jpg'
  else:
    mask(tmp_path / 'supports' / 'b.png', size=(45, 60), value=0)
    words = 'b.png: the support mask has no foreground'
  out = tmp_path / 'out'
  assert words in failure(served('predict', *args, f'--output_dir={out}'))
  assert not out.exists()


def test_queries_that_are_not_there_are_named(tmp_path):
  with pytest.raises(InputError, match='--query is missing'):
    inputs.find_queries([])
  with pytest.raises(InputError, match='no image in this folder'):
    inputs.find_queries([str(tmp_path)])
  with pytest.raises(InputError, match=r'q.jpg and .*q.png would both be written to q_mask.png'):
    inputs.find_queries(['q.jpg', str(tmp_path / 'q.png')])


def test_results_do_not_become_queries(tmp_path, monkeypatch):
  query = picture(tmp_path / 'q.jpg')
  monkeypatch.chdir(tmp_path)
  for folder in (tmp_path, '.', '~'):
    monkeypatch.setenv('HOME', str(tmp_path))
    with pytest.raises(InputError, match='cannot be the --output_dir'):
      inputs.find_queries([str(tmp_path)], output_dir=folder)
  assert inputs.find_queries([str(tmp_path)], output_dir='masks') == [query]
  assert inputs.find_queries([str(query)], output_dir='.') == [query]
  drawn = mask(tmp_path / 'q_mask.png')
  for given in ({'names': [str(query), str(drawn)]}, {'names': ['q.jpg'], 'supports': [drawn]}):
    with pytest.raises(InputError, match='q_mask.png: is given as an input'):
      inputs.find_queries(**given, output_dir='.')


def test_tensors_of_another_network_are_listed(checkpoint, tmp_path):
  stored = jax.tree.map(lambda leaf: leaf, variables('tiny'))  # Dicts of its own.
  bias = stored['params']['decoder']['conv0'].pop('bias')
  stored['params']['decoder']['conv9'] = {'bias': bias}
  save_checkpoint(tmp_path / 'c', stored, config={'backbone': 'tiny', 'image_size': 64})
  with pytest.raises(InputError, match='c: .*decoder1.0.bias; unexpected: .*conv9/bias'):
    load_model(tmp_path / 'c')


def test_paths_may_be_under_the_users_home(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  query = picture(tmp_path / 'q.jpg')
  mask(tmp_path / 'mask.png')
  assert inputs.find_queries(['~', '~nobody.jpg'])[:2] == [tmp_path / 'mask.png', query]
  masks = inputs.read_supports(['~/q.jpg'], ['~/mask.png'], size=(45, 60))[1]
  assert masks.sum() == 30 * 20


def test_supports_and_masks_must_belong_together(tmp_path):
  image, drawn = picture(tmp_path / 'a.jpg'), mask(tmp_path / 'a.png')
  small, missing = mask(tmp_path / 'small.png', size=(59, 45)), tmp_path / 'no.png'
  speck = mask(tmp_path / 'speck.png', box=(1, 1, 2, 2))
  for images, masks, value, words in (
    ([], [], None, '--support_images is missing'),
    ([image, image], [drawn], None, '2 --support_images but 1 --support_masks'),
    ([image], [small], None, 'small.png: the mask is 59 x 45'),
    ([image], [missing], None, 'no.png: no such file'),
    ([image], [drawn], 7, r'no foreground of value 7 \(values in the file: 0, 255\)'),
    ([image], [speck], None, 'loses its foreground'),
  ):
    with pytest.raises(InputError, match=words):
      inputs.read_supports(images, masks, size=(16, 16), value=value)


def test_one_value_of_a_mask_can_be_the_object(tmp_path):
  image, drawn = picture(tmp_path / 'a.jpg'), mask(tmp_path / 'a.png', value=12)
  images, masks = inputs.read_supports([image], [drawn], size=(45, 60), value=12)
  assert images.shape == (1, 45, 60, 3) and masks.sum() == 30 * 20
