"""The object for people with pictures: what the library and the command find, bit for bit."""

import re
import warnings

import jax
import numpy as np
import pytest
from PIL import Image

import hsnet_jax as hs
from experiments.evaluation.config import PredictConfig
from experiments.evaluation.predicting import predict
from hsnet_jax.metrics import presence_score
from hsnet_jax.segmenter import programs
from hsnet_jax.weights import write_model
from tests import made
from tests.made import SMALL

RNG = np.random.default_rng(0)
SIZES = ((45, 60), (60, 45), (32, 32))
PHOTOS = [RNG.integers(0, 256, (h, w, 3), np.uint8) for h, w in SIZES]
QUERY = RNG.integers(0, 256, (37, 53, 3), np.uint8)


def drawn(size, box=np.s_[10:30, 8:28]):
  mask = np.zeros(size, np.uint8)
  mask[box] = 255
  return mask


MASKS = [drawn(size) for size in SIZES]


def model(**config):
  """A network of two levels that compiles in a fraction of the time of others."""
  return hs.Model(hs.HSNet(SMALL), made.variables(SMALL), {'image_size': 32, **config})


def fitted(classes=None, **config):
  return hs.Segmenter.from_pretrained(model(**config)).fit(PHOTOS, MASKS, classes)


def same(a, b):
  """Whether two answers are equal, bit for bit; their paths aside."""
  arrays = ('label', 'masks', 'probabilities')
  return (a.classes, a.presences) == (b.classes, b.presences) and all(
    np.array_equal(getattr(a, name), getattr(b, name)) for name in arrays
  )


def library(segmenter, query, shots):
  """Logits at a query's own size, by the library's functions alone."""
  own = segmenter.model
  supports = segmenter.fitted.supports

  @jax.jit
  def logits(query, images, masks):
    support_set = hs.encode_support(
      own.module, own.variables, hs.normalize(images, own.backbone), masks
    )
    small = hs.normalize(np.asarray(Image.fromarray(QUERY).resize((32, 32), 2))[None], SMALL)
    features = own.module.apply(own.variables, small, method='encode')
    return hs.match_shots(own.module, own.variables, features, support_set)

  found = logits(query, supports.images[shots], supports.masks[shots])
  if segmenter.combine == 'mean':
    found = hs.mean_shots(found)
  size = query.shape[:2]
  return found, hs.resize_bilinear(found.reshape(-1, *found.shape[2:]), size)[:, None]


def test_what_is_fitted_again_shares_the_weights():
  """Many of them are one network and their supports, and find what each finds by itself."""
  first = fitted()
  again = first.fit(PHOTOS[:1], MASKS[:1], ['other'])
  assert again.fitted.variables is first.fitted.variables
  alone = hs.Segmenter.from_pretrained(model()).fit(PHOTOS[:1], MASKS[:1], ['other'])
  assert same(again.predict(QUERY), alone.predict(QUERY))


@pytest.mark.parametrize('combine', ['vote', 'mean'])
def test_what_is_found_is_what_the_library_finds(combine):
  segmenter = fitted(combine=combine)
  found = segmenter.predict(QUERY)
  small, large = library(segmenter, QUERY, np.s_[:])
  expected = hs.combine_shots(large)
  assert set(np.unique(expected.mask)) == {0, 1}, 'a mask of one value would show nothing'
  assert found.mask.shape == found.probability.shape == (37, 53)
  assert (found.mask.dtype, found.probability.dtype) == (np.uint8, np.float32)
  np.testing.assert_array_equal(found.mask, expected.mask[0])
  np.testing.assert_array_equal(found.label, found.mask)
  np.testing.assert_allclose(found.probability, expected.probability[0], atol=1e-5)
  marked = found.probability[found.mask == 1]
  assert 0 < found.confidence <= 1 and found.confidence == pytest.approx(marked.mean())
  expected = presence_score(hs.mean_margin(small))[0]
  assert isinstance(found.presence, float)
  assert found.presence == pytest.approx(float(expected), abs=1e-5)
  assert found.classes == ('object',) and found.path is None


def test_each_of_several_classes_is_what_it_is_alone():
  segmenter = hs.Segmenter.from_pretrained(model())
  several = segmenter.fit(PHOTOS, MASKS, ['dog', 'cat', 'dog'])
  assert several.classes == ('cat', 'dog')
  found = several.predict(QUERY)
  alone = [
    segmenter.fit([PHOTOS[i] for i in at], [MASKS[i] for i in at]).predict(QUERY)
    for at in ((1,), (0, 2))
  ]
  for name, one in zip(several.classes, alone, strict=True):
    np.testing.assert_array_equal(found.of(name).mask, one.mask)
    np.testing.assert_array_equal(found.of(name).probability, one.probability)
    assert found.of(name).presence == one.presence
  masks, probabilities = (np.stack([getattr(x, n) for x in alone]) for n in ('mask', 'probability'))
  assert masks.all(0).any(), 'no pixel of both would show nothing'
  assert set(np.unique(found.label)) == {0, 1, 2}
  np.testing.assert_array_equal(found.label > 0, masks.any(0))
  highest = np.where(masks == 1, probabilities, -1).argmax(0) + 1
  np.testing.assert_array_equal(found.label[found.label > 0], highest[found.label > 0])


@pytest.fixture(scope='module')
def stored(tmp_path_factory):
  """A network that comes with a file, and two supports with their masks, one lying on its side."""
  folder = tmp_path_factory.mktemp('stored')
  config = {'backbone': 'tiny', 'image_size': 64, 'support_margin': 0.1}
  write_model(folder / 'm.safetensors', made.variables('tiny'), config=config)
  exif = Image.Exif()
  exif[0x0112] = 6
  Image.fromarray(PHOTOS[0]).save(folder / 'a.jpg')
  Image.fromarray(PHOTOS[0]).save(folder / 'b.jpg', exif=exif)
  Image.fromarray(MASKS[0]).save(folder / 'a.png')
  Image.fromarray(MASKS[1]).save(folder / 'b.png')
  Image.fromarray(np.random.default_rng(5).integers(0, 256, (70, 90, 3), np.uint8)).save(
    folder / 'query.jpg', exif=exif
  )
  return folder


@pytest.mark.heavy
@pytest.mark.parametrize('combine', ['vote', 'mean'])
def test_a_mask_is_what_the_command_writes(stored, tmp_path, combine):
  images, masks = ([str(stored / f'{x}.{ending}') for x in 'ab'] for ending in ('jpg', 'png'))
  (written,) = predict(
    PredictConfig(
      checkpoint=str(stored / 'm.safetensors'),
      support_images=tuple(images),
      support_masks=tuple(masks),
      query=(str(stored / 'query.jpg'),),
      output_dir=str(tmp_path),
      combine=combine,
    )
  )
  segmenter = hs.Segmenter.from_pretrained(stored / 'm.safetensors', combine=combine)
  assert (segmenter.image_size, segmenter.support_margin) == (64, 0.1)
  found = segmenter.fit(images, masks).predict(stored / 'query.jpg')
  assert found.path == stored / 'query.jpg' and found.mask.shape == (90, 70)
  assert 0 < found.mask.mean() < 1, 'a mask of one value would show nothing'
  np.testing.assert_array_equal(found.mask * np.uint8(255), np.asarray(Image.open(written)))


def test_fit_leaves_a_segmenter_as_it_is():
  segmenter = hs.Segmenter.from_pretrained(model())
  one = segmenter.fit(PHOTOS[:1], MASKS[:1])
  before = one.predict(QUERY)
  other = one.fit(PHOTOS[1:], MASKS[1:])
  assert other.model is one.model is segmenter.model
  assert same(one.predict(QUERY), before) and not same(other.predict(QUERY), before)
  assert same(other.fit(PHOTOS[:1], MASKS[:1]).predict(QUERY), before)
  with pytest.raises(AttributeError):
    one.combine = 'mean'


def test_before_fit_it_says_to_fit(tmp_path):
  segmenter = hs.Segmenter.from_pretrained(model())
  for ask in (
    lambda: segmenter.predict(QUERY),
    lambda: segmenter.predict_folder(tmp_path),
    lambda: segmenter.save(tmp_path / 'a.safetensors'),
    lambda: segmenter.classes,
  ):
    segmenter.fit(PHOTOS, MASKS)  # Whose result is not kept.
    with pytest.raises(hs.InputError, match=r'`segmenter = segmenter\.fit\(images, masks\)`'):
      ask()


def test_nothing_is_compiled_twice_whatever_the_sizes(caplog):
  names = ('encode', 'mask', 'match', 'score_presence', 'vote_in_strips', 'margin_in_strips')
  for name in names:
    getattr(programs, name).clear_cache()
  segmenter = hs.Segmenter.from_pretrained(model())
  with jax.log_compiles(), caplog.at_level('WARNING'):
    segmenter = segmenter.fit(PHOTOS[:1], MASKS[:1])
    for size in ((50, 81), (375, 500), (500, 333), (512, 512), (1, 1)):
      assert segmenter.predict(np.resize(QUERY, (*size, 3))).mask.shape == size
  compiled = re.findall(r'^Compiling (?:jit\()?(\w+)', '\n'.join(caplog.messages), re.M)
  assert sorted(compiled) == sorted(names)


@pytest.mark.parametrize('name, value', [('precision', 'bfloat16'), ('backbone', SMALL)])
def test_what_a_model_has_settled_is_refused(name, value):
  with pytest.raises(hs.InputError, match=rf'`{name}` .*`load_model\(path, {name}='):
    hs.Segmenter.from_pretrained(model(), **{name: value})


def test_options_take_the_place_of_the_models():
  own = model(support_margin=0.1, combine='mean')
  plain = hs.Segmenter.from_pretrained(own)
  assert (plain.image_size, plain.support_margin, plain.combine) == (32, 0.1, 'mean')
  other = hs.Segmenter.from_pretrained(own, image_size=64, support_margin=-1.0, combine='vote')
  assert (other.image_size, other.support_margin, other.combine) == (64, None, 'vote')
  assert 'image_size=64' in repr(other.fit(PHOTOS, MASKS)) and len(repr(other)) < 200
  published = hs.Model(own.module, own.variables)
  assert hs.Segmenter.from_pretrained(published).image_size == 400


@pytest.mark.parametrize('asked, expected', [(None, 0.2), (-1.0, None), (0.0, 0.0), (0.5, 0.5)])
def test_presence_is_judged_as_the_model_says_or_one_asks(asked, expected):
  own = model().with_presence(0.2)
  segmenter = hs.Segmenter.from_pretrained(own, presence_threshold=asked)
  assert segmenter.model.module.presence_threshold == expected
  assert own.module.presence_threshold == 0.2


@pytest.mark.parametrize(
  'options, words',
  [
    ({'combine': 'median'}, "`combine` is 'median'; there are vote, mean"),
    ({'image_size': -5}, '`image_size` is -5'),
    ({'support_margin': float('nan')}, '`support_margin` nan'),
    ({'presence_threshold': float('nan')}, '`presence_threshold` is nan'),
    ({'presence_threshold': 2.0}, '`presence_threshold` is 2.0'),
  ],
)
def test_options_that_do_not_fit_are_named(options, words):
  with pytest.raises(hs.InputError, match=words):
    hs.Segmenter.from_pretrained(model(), **options)


def test_an_image_size_that_the_network_cannot_take_is_named():
  module, images = hs.HSNet('vgg16'), np.zeros((1, 64, 64, 3), np.float32)
  shapes = jax.eval_shape(module.init, jax.random.key(0), images, images, images[..., 0])
  with pytest.raises(hs.InputError, match='vgg16 cannot take .*16 x 16'):
    hs.Segmenter.from_pretrained(hs.Model(module, shapes), image_size=16)


def test_a_model_that_is_not_there_is_named():
  with pytest.raises(hs.InputError, match='nowhere'):
    hs.Segmenter.from_pretrained('nowhere')


def test_a_picture_that_cannot_be_read_is_named():
  segmenter = fitted()
  with pytest.raises(hs.InputError, match=r'none\.jpg: cannot be read'):
    segmenter.predict('none.jpg')
  with pytest.raises(hs.InputError, match='the picture: a list is no picture'):
    segmenter.predict(['a.jpg', 'b.jpg'])


@pytest.fixture
def folder(tmp_path):
  """Five pictures of different sizes, one that is none, and files of other kinds."""
  names = ('b.png', 'A.PNG', 'c.png', 'deeper/a.png', 'deeper/z.png')
  (tmp_path / 'deeper').mkdir()
  (tmp_path / '.hidden').mkdir()
  rng = np.random.default_rng(1)
  for i, name in enumerate((*names, '.hidden/a.png', '.d.png')):
    pixels = rng.integers(0, 256, (30 + i, 40, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / name)
  (tmp_path / 'bad.jpg').write_text('no picture')
  (tmp_path / 'notes.txt').write_text('no picture')
  return tmp_path


@pytest.mark.parametrize('recursive', [False, True])
def test_a_folder_is_done_in_order_and_what_cannot_be_read_is_named(folder, recursive):
  segmenter = fitted()
  names = ['A.PNG', 'b.png', 'c.png'] + ['deeper/a.png', 'deeper/z.png'] * recursive
  with pytest.warns(UserWarning, match=r'left out: .*bad\.jpg') as told:
    found = list(segmenter.predict_folder(folder, recursive=recursive))
  assert len(told) == 1
  assert [one.path for one in found] == [folder / name for name in names]
  for one in found:
    assert same(one, segmenter.predict(one.path))
    assert one.mask.base is None or one.mask.base.size == one.mask.size, 'holds a canvas'


@pytest.mark.heavy
@pytest.mark.parametrize('batch_size', [2, 7])
def test_several_at_a_time_are_the_same_to_rounding(folder, batch_size):
  segmenter = fitted()
  (folder / 'bad.jpg').unlink()
  found = list(segmenter.predict_folder(folder, recursive=True, batch_size=batch_size))
  assert len(found) == 5
  for one in found:
    alone = segmenter.predict(one.path)
    np.testing.assert_allclose(one.probability, alone.probability, atol=1e-5)
    assert (one.mask != alone.mask).mean() < 0.01
    assert one.presence == pytest.approx(alone.presence, abs=1e-4)


def test_a_picture_is_read_when_its_turn_comes(folder):
  found = fitted().predict_folder(folder)
  first = next(found)
  (folder / 'b.png').write_text('changed')
  with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter('always')
    rest = [one.path.name for one in found]
  assert first.path.name == 'A.PNG' and rest == ['c.png'] and len(told) == 2


def test_a_folder_without_pictures_is_named_before_anything_is_read(folder):
  segmenter = fitted()
  with pytest.raises(hs.InputError, match='none: there is no such folder'):
    segmenter.predict_folder(folder / 'none')
  (folder / 'empty').mkdir()
  with pytest.raises(hs.InputError, match='empty: no picture in this folder'):
    segmenter.predict_folder(folder / 'empty')
  with pytest.raises(hs.InputError, match='`batch_size` is 0'):
    segmenter.predict_folder(folder, batch_size=0)
