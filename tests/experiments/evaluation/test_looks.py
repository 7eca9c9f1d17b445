"""How pictures are looked at: in how many tiles, and a second time."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from experiments.evaluation import predicting
from experiments.evaluation.predicting import predict
from hsnet_jax.errors import InputError
from tests.experiments.evaluation.given import judged, mask, picture


@pytest.mark.usefixtures('quick')
def test_tiles_that_are_chosen_are_told_and_are_as_those_asked_for(config, tmp_path, capsys):
  """The supports' object covers 600 of 2700 pixels; here one of them a few."""
  query = picture(tmp_path / 'q.jpg')
  made = config(query, tiles='auto')
  predict(made)
  assert 'tiles: 1, since the object covers 22% of its picture' in capsys.readouterr().out
  small = mask(tmp_path / 'small.png', box=(10, 10, 15, 16))
  made = dataclasses.replace(
    made, support_images=made.support_images[:1], support_masks=(str(small),)
  )
  out = tmp_path / 'deep' / 'out'
  assert predict(made) == [out / 'q_predicted-2.png']
  assert 'tiles: 3, since the object covers 1.1% of its picture' in capsys.readouterr().out
  assert predict(dataclasses.replace(made, tiles='3')) == [out / 'q_predicted-2.png']
  assert 'tiles:' not in capsys.readouterr().out
  assert predict(dataclasses.replace(made, tiles='4')) == [out / 'q_predicted-3.png']


@pytest.mark.usefixtures('quick')
def test_queries_much_larger_than_the_network_sees_are_looked_at_in_tiles(config, tmp_path, capsys):
  query = picture(tmp_path / 'q.jpg', size=(600, 500))
  predict(config(query, tiles='auto', image_size=64))
  assert 'tiles: 1' in capsys.readouterr().out, 'the object covers more than half of a tile'
  small = [mask(tmp_path / f'{n}.png', size=(60, 45), box=(10, 10, 25, 25)) for n in 'ab']
  made = config(query, tiles='auto', image_size=64)
  predict(dataclasses.replace(made, support_masks=tuple(map(str, small))))
  said = capsys.readouterr().out
  assert 'tiles: 2, since the pictures are 9 times as large as what the network sees' in said


def test_what_a_second_look_found_lies_beside_the_first(config, tmp_path, monkeypatch):
  def predict_batch(images, sizes, photographs=()):
    width = 5 + len(photographs)
    masks = [(np.arange(w) < width)[None].repeat(h, 0).astype(np.uint8) for h, w in sizes]
    return [judged(mask) for mask in masks]

  monkeypatch.setattr(predicting, 'predictor', lambda *_, **__: predict_batch)
  query, out = picture(tmp_path / 'q.jpg'), tmp_path / 'deep' / 'out'
  for look, name in ((False, 'q_predicted.png'), (True, 'q_predicted-2.png')):
    assert predict(config(query, second_look=look)) == [out / name]
    with Image.open(out / name) as image:
      assert np.asarray(image)[0].sum() == 255 * (6 if look else 5)
  assert predict(config(query)) == [out / 'q_predicted.png']


@pytest.mark.parametrize('tiles', ['0', 0, 9, 'some', '1.5'])
def test_tiles_are_a_few_or_chosen(config, tiles):
  with pytest.raises(InputError, match='`tiles`.*auto'):
    config('q.jpg', tiles=tiles)
