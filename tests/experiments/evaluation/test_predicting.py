"""Predicting in this process: what is written where, and what is told of it."""

import dataclasses

import jax
import numpy as np
import pytest
from PIL import Image

from experiments.evaluation import predicting
from experiments.evaluation.predicting import predict
from experiments.evaluation.prediction.segmenting import Segmented
from hsnet_jax.checkpoints import save_checkpoint
from hsnet_jax.errors import InputError
from hsnet_jax.models import load_model
from tests.experiments.evaluation.given import contents, mask, picture, size_of
from tests.made import variables


def test_masks_have_the_size_of_the_upright_query(config, tmp_path, capsys):
  folder = tmp_path / 'queries'
  folder.mkdir()
  sizes = {'wide': (90, 40), 'gray': (33, 70), 'alpha': (33, 70), 'deep': (90, 40)}
  picture(folder / 'wide.jpg', size=(90, 40))
  picture(folder / 'gray.jpg', size=(33, 70), mode='L')
  picture(folder / 'alpha.png', size=(33, 70), mode='RGBA')
  picture(folder / 'deep.png', size=(90, 40), mode='I;16')
  (folder / 'notes.txt').write_text('no image')
  turned = picture(tmp_path / 'turned.jpg', size=(80, 30), orientation=6)
  written = predict(config(folder, turned))
  out = tmp_path / 'deep' / 'out'
  said = capsys.readouterr().out
  assert '2-shot' in said and str(out) in said
  sizes['turned'] = (30, 80)
  expected = {f'{name}_{kind}.png' for name in sizes for kind in ('predicted', 'overlay')}
  assert set(contents(out)) == expected
  assert {p.name for p in written} == {name for name in expected if 'predicted' in name}
  for name, size in sizes.items():
    with Image.open(out / f'{name}_predicted.png') as image:
      assert image.size == size and image.mode == 'L'
      assert set(np.unique(image)) <= {0, 255}
    assert size_of(out / f'{name}_overlay.png') == size


@pytest.mark.usefixtures('quick')
def test_results_of_other_settings_lie_beside_and_the_same_replace_their_own(config, tmp_path):
  query = picture(tmp_path / 'q.jpg')
  out = tmp_path / 'deep' / 'out'
  assert predict(config(query)) == [out / 'q_predicted.png']
  first = contents(out)
  assert set(first) == {'q_predicted.png', 'q_overlay.png'}
  assert predict(config(query)) == [out / 'q_predicted.png']
  assert contents(out) == first, 'the same again'
  assert predict(config(query, image_size=80)) == [out / 'q_predicted-2.png']
  one = config(query)
  one = dataclasses.replace(
    one, support_images=one.support_images[:1], support_masks=one.support_masks[:1]
  )
  assert predict(one) == [out / 'q_predicted-3.png']
  picture(query)  # Another photograph of the same name.
  assert predict(config(query)) == [out / 'q_predicted-4.png']
  after = contents(out)
  assert len(after) == 8 and {name: after[name] for name in first} == first


@pytest.mark.usefixtures('quick')
@pytest.mark.parametrize('kind', ['predicted', 'overlay'])
def test_a_result_that_was_changed_by_hand_is_never_lost(config, tmp_path, kind, capsys):
  query = picture(tmp_path / 'q.jpg')
  out = tmp_path / 'deep' / 'out'
  predict(config(query))
  mine = out / f'q_{kind}.png'
  with Image.open(mine) as image:
    drawn = np.asarray(image).copy()
  drawn[:20, :20] ^= 255
  Image.fromarray(drawn).save(mine)
  before = contents(out)
  capsys.readouterr()
  for _ in range(2):
    assert predict(config(query)) == [out / 'q_predicted-2.png']
    assert 'q_predicted-2.png' in capsys.readouterr().out
  after = contents(out)
  assert {name: after[name] for name in before} == before
  assert set(after) - set(before) == {'q_predicted-2.png', 'q_overlay-2.png'}


@pytest.mark.usefixtures('quick')
def test_results_may_lie_among_the_queries_and_their_masks(config, tmp_path, capsys):
  folder = tmp_path / 'mine'
  folder.mkdir()
  for name in 'ab':
    picture(folder / f'{name}.jpg')
  mask(folder / 'a.png')
  mask(folder / 'b_mask.png')
  before = contents(folder)
  written = {'a_predicted.png', 'b_predicted.png', 'a_overlay.png', 'b_overlay.png'}
  for left in (('a.png', 'b_mask.png'), ('a.png', 'results: ')):
    predict(config(folder, output_dir=str(folder)))
    said = capsys.readouterr().out
    assert '2 masks' in said and all(word in said for word in left)
    after = contents(folder)
    assert {name: after[name] for name in before} == before
    assert set(after) == set(before) | written


@pytest.mark.usefixtures('quick')
def test_results_lie_as_their_queries_do(config, tmp_path):
  folder, out = tmp_path / 'photos', tmp_path / 'photos' / 'out'
  (folder / 'day2').mkdir(parents=True)
  for name in ('a.jpg', 'x.jpg', 'x.tif', 'day2/a.jpg'):
    picture(folder / name)
  expected = {'a', 'x.jpg', 'x.tif', 'day2/a'}
  for _ in range(2):
    predict(config(folder, output_dir=str(out), recursive=True))
    names = {f'{name}_{kind}.png' for name in expected for kind in ('predicted', 'overlay')}
    assert set(contents(out)) == names


@pytest.mark.usefixtures('quick')
def test_every_page_is_done(config, tmp_path):
  pages = [Image.open(picture(tmp_path / f'{i}.png', size=(30 + i, 20))) for i in range(3)]
  pages[0].save(tmp_path / 'scan.tif', save_all=True, append_images=pages[1:])
  written = predict(config(tmp_path / 'scan.tif'))
  assert [p.name for p in written] == [f'scan-page{n}_predicted.png' for n in (1, 2, 3)]
  assert [size_of(p) for p in written] == [(30, 20), (31, 20), (32, 20)]


def damage(path):
  path.write_bytes(path.read_bytes()[:3000])
  return path


@pytest.mark.usefixtures('quick')
def test_one_bad_picture_does_not_stop_the_others(config, tmp_path, capsys):
  folder = tmp_path / 'photos'
  folder.mkdir()
  for name in 'abcd':
    picture(folder / f'{name}.jpg', size=(200, 200))
  damage(folder / 'b.jpg')
  (folder / 'c.jpg').write_text('no image')
  with (
    pytest.warns(UserWarning, match=r'b\.jpg: '),
    pytest.warns(UserWarning, match=r'c\.jpg: '),
    pytest.raises(InputError, match=r'2 of 4 .*b\.jpg.*c\.jpg'),
  ):
    predict(config(folder))
  assert {p[0] for p in contents(tmp_path / 'deep' / 'out')} == {'a', 'd'}
  assert '2 masks' in capsys.readouterr().out


@pytest.mark.usefixtures('quick')
def test_a_name_too_long_for_those_of_results_does_not_stop_the_others(config, tmp_path):
  long = picture(tmp_path / f'{"b" * 250}.png')
  queries = picture(tmp_path / 'a.png'), long, picture(tmp_path / 'c.png')
  with (
    pytest.warns(UserWarning, match=f'{long}: .*too long'),
    pytest.raises(InputError, match=f'1 of 3 .*{long}'),
  ):
    predict(config(*queries))
  assert {p[0] for p in contents(tmp_path / 'deep' / 'out')} == {'a', 'c'}


@pytest.mark.parametrize('case', ['truncated query', 'no image', 'missing', 'empty mask'])
def test_bad_input_is_named_and_nothing_is_written(config, tmp_path, case):
  query = picture(tmp_path / 'q.jpg', size=(200, 200))
  facts = r'q\.jpg'
  if case == 'truncated query':
    damage(query)
  elif case == 'no image':
    query.write_text('no image')
  elif case == 'missing':
    query.unlink()
  else:
    mask(tmp_path / 'supports' / 'b.png', size=(45, 60), value=0)
    facts = r'b\.png: .* foreground'
  with pytest.raises(InputError, match=facts):
    predict(config(query))
  assert not (tmp_path / 'deep').exists()


def test_what_may_find_nothing_is_said(config, tmp_path, quick, monkeypatch):
  query = picture(tmp_path / 'q.jpg')
  with pytest.warns(UserWarning, match='`image_size` .*128.* 64'):
    predict(config(query, image_size=128))

  def segment(predict_batch, queries, **_):
    for query in queries:
      yield Segmented(query, np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9), np.uint8), 0.0, 0.5)

  monkeypatch.setattr(predicting, 'segment_files', segment)
  with pytest.warns(UserWarning, match='every mask is empty'):
    predict(config(query))


def test_tensors_of_another_network_are_listed(tmp_path):
  stored = jax.tree.map(lambda leaf: leaf, variables('tiny'))  # Dicts of its own.
  bias = stored['params']['decoder']['conv0'].pop('bias')
  stored['params']['decoder']['conv9'] = {'bias': bias}
  save_checkpoint(tmp_path / 'c', stored, config={'backbone': 'tiny', 'image_size': 64})
  with pytest.raises(InputError, match='c: .*decoder1.0.bias.*conv9/bias'):
    load_model(tmp_path / 'c')


class Seen(Exception):
  """Ends a command where a test has seen what it wanted to."""


def with_record(monkeypatch, checkpoint, **recorded):
  """Lets a checkpoint say more than it does."""
  loaded = load_model(checkpoint)
  model = dataclasses.replace(loaded, config={**loaded.config, **recorded})
  monkeypatch.setattr(predicting, 'load_model', lambda path: model)


@pytest.mark.parametrize(
  'recorded, asked, expected',
  [
    ({}, {}, None),
    ({'support_margin': 0.1}, {}, 0.1),
    ({'support_margin': 0.1}, {'support_margin': -1.0}, None),
    ({'support_margin': 0.1}, {'support_margin': 0.3}, 0.3),
  ],
)
def test_supports_are_cut_as_the_checkpoint_says(
  config, run, tmp_path, monkeypatch, recorded, asked, expected
):
  def read(*args, margin, **options):
    raise Seen(margin)

  with_record(monkeypatch, run, **recorded)
  monkeypatch.setattr(predicting, 'read_supports', read)
  with pytest.raises(Seen) as seen:
    predict(config(picture(tmp_path / 'q.jpg'), **asked))
  assert seen.value.args == (expected,)


@pytest.mark.parametrize(
  'recorded, asked, expected',
  [
    ({}, {}, ('vote', 2)),
    ({'combine': 'mean'}, {}, ('mean', 2)),
    ({'combine': 'mean'}, {'combine': 'vote'}, ('vote', 2)),
    # In tiles the windows of one photograph are a batch, however many photographs there are.
    ({}, {'tiles': 2}, ('mean', 5)),
    ({'combine': 'agreement'}, {'tiles': 2}, ('agreement', 5)),
    ({}, {'second_look': True}, ('mean', 2)),
    ({}, {'second_look': True, 'combine': 'best'}, ('best', 2)),
  ],
)
def test_supports_are_combined_as_the_checkpoint_says(
  config, run, tmp_path, monkeypatch, recorded, asked, expected
):
  def make(*args, rows, combine, tiles):
    assert tiles == asked.get('tiles', 1)
    raise Seen(combine, rows)

  with_record(monkeypatch, run, **recorded)
  monkeypatch.setattr(predicting, 'predictor', make)
  queries = [picture(tmp_path / f'{name}.jpg') for name in 'qr']
  with pytest.raises(Seen) as seen:
    predict(config(*queries, **asked))
  assert seen.value.args == expected


@pytest.mark.parametrize(
  'recorded, asked, expected',
  [
    ({}, {}, None),
    ({'presence_threshold': 0.2}, {}, 0.2),
    ({'presence_threshold': 0.2}, {'presence_threshold': -1.0}, None),
    ({'presence_threshold': 0.2}, {'presence_threshold': 0.0}, 0.0),
  ],
)
def test_presence_is_judged_as_the_checkpoint_says(
  config, run, tmp_path, monkeypatch, recorded, asked, expected
):
  def make(model, *args, **options):
    raise Seen(model.module.presence_threshold)

  with_record(monkeypatch, run, **recorded)
  monkeypatch.setattr(predicting, 'predictor', make)
  with pytest.raises(Seen) as seen:
    predict(config(picture(tmp_path / 'q.jpg'), **asked))
  assert seen.value.args == (expected,)


def test_what_is_unlike_the_object_is_left_empty(config, tmp_path):
  query = picture(tmp_path / 'q.jpg')
  with pytest.warns(UserWarning, match='presence_threshold'):
    (found,) = predict(config(query, presence_threshold=1.0))
  assert not np.asarray(Image.open(found)).any()
