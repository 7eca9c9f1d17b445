"""A user's own pictures: a folder for each class, and what all layouts share."""

import itertools
import json
import pickle
import threading
import warnings

import numpy as np
import pytest
from PIL import Image

from data_pipelines import Benchmark, HeldOut, eval_batches, make_benchmark, train_batches
from data_pipelines.own_pictures.folder import Folder
from data_pipelines.reading.images import Encoded
from tests.facts import refused, warned
from tests.own_pictures import (
  SIZE,
  box,
  coco_content,
  save_all_labelme,
  save_classes,
  save_coco,
  save_mask,
  save_photo,
)


@pytest.fixture
def classes(tmp_path):
  return save_classes(tmp_path / 'own')


def test_class_folders_become_labels(classes):
  folder = make_benchmark('folder', data_dir=classes)
  assert (folder.num_classes, folder.num_folds, folder.boundary) == (5, 4, 65535)
  assert folder.class_names == ('ant', 'bee', 'cat', 'dog', 'eel')
  assert len(folder.image_names()) == 15
  image, label = folder.load('cat/1.jpg')
  np.testing.assert_array_equal(image, np.asarray(Image.open(classes / 'cat' / '1.jpg')))
  np.testing.assert_array_equal(label, box(3))


def test_every_class_is_tested_in_one_fold_and_trained_on_in_the_others(classes):
  folder = Folder(classes)
  assert [folder.test_classes(f) for f in range(4)] == [(0, 4), (1,), (2,), (3,)]
  for fold in range(4):
    test = set(folder.test_classes(fold))
    assert set(folder.split(fold, 'val').by_class) == test
    assert set(folder.split(fold, 'trn').by_class) == set(range(5)) - test
  # Classes take turns.
  assert folder.split(0, 'val').items[:3] == (('ant/0.jpg', 0), ('eel/0.jpg', 4), ('ant/1.jpg', 0))
  queries = [e.query for e in folder.test_episodes(0)]
  assert queries == [name for name, _ in folder.split(0, 'val').items]
  with refused('fold 4', '0 to 3'):
    folder.split(4, 'val')


def test_a_boundary_is_left_open(tmp_path):
  save_photo(tmp_path / 'leaf' / 'a.jpg')
  save_mask(tmp_path / 'leaf' / 'a.png', np.maximum(box(1), box(255, at=(4, 6, 5, 20))))
  label = Folder(tmp_path).load('leaf/a.jpg')[1]
  np.testing.assert_array_equal(
    label, np.maximum(box(1, dtype=np.uint16), box(65535, at=(4, 6, 5, 20), dtype=np.uint16))
  )


def test_a_mask_is_decoded_once(classes, monkeypatch):
  opened, open_ = [], Image.open
  monkeypatch.setattr(Image, 'open', lambda path: opened.append(path) or open_(path))
  Folder(classes).load('cat/1.jpg')
  assert opened == [classes / 'cat' / '1.jpg', classes / 'cat' / '1.png']


def test_photographs_of_every_kind(tmp_path):
  folder = tmp_path / 'leaf'
  save_photo(folder / 'turned.jpg', exif=(exif := Image.Exif()))
  exif[0x0112] = 6
  save_photo(folder / 'turned.jpg', exif=exif)
  save_mask(folder / 'turned.png', np.rot90(box(1), -1))
  save_photo(folder / 'stored.jpg', exif=exif)
  save_mask(folder / 'stored.png', box(1))
  Image.fromarray(box(200)).save(folder / 'gray.png')
  save_mask(folder / 'gray_mask.png', box(1))
  Image.fromarray(box(60000, dtype=np.uint16)).save(folder / 'deep.tif')
  save_mask(folder / 'deep.png', box(1))
  Image.new('RGBA', SIZE[::-1]).save(folder / 'clear.png')
  save_mask(folder / 'clear_mask.png', box(1))
  (folder / '.DS_Store').write_bytes(b'')
  (folder / 'notes.txt').write_text('')
  own = Folder(tmp_path)
  assert sorted(own.image_names()) == list(
    f'leaf/{n}' for n in ('clear.png', 'deep.tif', 'gray.png', 'stored.jpg', 'turned.jpg')
  )
  for name in own.image_names():
    image, label = own.load(name)
    assert image.shape == (*label.shape, 3) and image.dtype == np.uint8
    expected = box(1) if 'stored' not in name and 'turned' not in name else np.rot90(box(1), -1)
    np.testing.assert_array_equal(label, expected)


def test_one_class_is_tested_but_not_trained_on(tmp_path):
  for i in range(2):
    save_photo(tmp_path / 'leaf' / f'{i}.jpg')
    save_mask(tmp_path / 'leaf' / f'{i}.png', box(1))
  folder = Folder(tmp_path)
  assert folder.num_folds == 1 and len(folder.test_episodes(0)) == 2 == len(folder.image_names())
  with refused("'leaf'", 'experiments.predict'):
    train_batches(folder, fold=0)


def test_a_class_of_one_image(classes):
  for path in (classes / 'ant').glob('[12].*'):
    path.unlink()
  folder = Folder(classes)
  with warned("'ant'", 'class_id 0', '1 image'):
    train_batches(folder, fold=1, image_size=8, batch_size=2)
  with refused("'ant'", 'class_id 0', '1 image'):
    folder.test_episodes(0)


@pytest.mark.parametrize(
  ('made', 'facts'),
  [
    (['a.jpg'], ['a.jpg', 'no mask']),
    (['a.jpg', 'b.jpg', 'c.jpg', 'c.png'], ['a.jpg', '1 more']),
    (['a.png'], ['a.png', 'name_mask.png']),
    (['a_mask.png'], ['a_mask.png', 'without its image']),
    (['a.jpg', 'a.tif', 'a.png'], ['a.jpg', 'a.tif', 'two images']),
    (['a.jpg', 'a.png', 'a_mask.png'], ['a_mask.png', 'a.jpg, a.png']),
    (['a_mask.jpg', 'a.jpg', 'a_mask.png', 'a.png'], ['a_mask.png', 'a_mask.jpg']),
    (['a.png', 'a_mask.png', 'a_mask_mask.png'], ['a_mask.png']),
    (['notes.txt'], ['ant', 'no image']),
  ],
)
def test_what_is_not_a_pair_is_named(tmp_path, made, facts):
  for name in made:
    (tmp_path / 'own' / 'ant').mkdir(parents=True, exist_ok=True)
    (tmp_path / 'own' / 'ant' / name).write_bytes(b'')
  with refused(*facts):
    Folder(tmp_path / 'own')


@pytest.mark.parametrize('mask', ['0.png', '0_mask.png'])
def test_what_else_lies_beside_pictures_and_masks(tmp_path, mask):
  """What masks were made of, and what systems leave behind."""
  for name in ('leaf', 'root'):
    save_photo(tmp_path / name / '0.jpg')
    save_mask(tmp_path / name / mask, box(255))
    (tmp_path / name / '0.json').write_text('{"shapes": [], "imagePath": "0.jpg"}')
    (tmp_path / name / '0.xml').write_text('<annotation><object><bndbox/></object></annotation>')
    for junk in ('._0.jpg', '._0.png', '.DS_Store', 'Thumbs.db', 'desktop.ini', '0.txt'):
      (tmp_path / name / junk).write_bytes(b'\0\5\26\7')
  (tmp_path / '__MACOSX' / 'leaf').mkdir(parents=True)
  (tmp_path / '__MACOSX' / 'leaf' / '._0.jpg').write_bytes(b'\0')
  folder = Folder(tmp_path)
  assert folder.class_names == ('leaf', 'root')
  assert sorted(folder.image_names()) == ['leaf/0.jpg', 'root/0.jpg']
  np.testing.assert_array_equal(folder.load('root/0.jpg')[1], box(2))


def test_pictures_out_of_place_are_counted(classes, monkeypatch):
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    (classes / 'notes.txt').write_text('')
    (classes / '.thumb.jpg').write_bytes(b'')
    (classes / 'ant' / '.cache').mkdir()
    (classes / 'ant' / '.cache' / '0.jpg').write_bytes(b'')
    expected = Folder(classes).image_names()
  for name in ('ant/more/even/c.tif', 'ant/more/b.PNG', 'z.jpg'):
    (classes / name).parent.mkdir(parents=True, exist_ok=True)
    (classes / name).write_bytes(b'')
  for data in (classes, '.'):
    monkeypatch.chdir(classes)
    with warned('3 pictures', 'z.jpg') as caught:
      assert Folder(data).image_names() == expected
    assert len(caught) == 1


def test_masks_that_do_not_fit(classes):
  save_mask(classes / 'ant' / '0.png', box(0))
  save_mask(classes / 'ant' / '1.png', box(1, size=(20, 20)))
  (classes / 'ant' / '2.jpg').write_bytes(b'')
  folder = Folder(classes)
  for i, facts in enumerate((['0.png', 'values in the file: 0'], ['1.png', '20 x 20'], ['2.jpg'])):
    with refused(*facts):
      folder.load(f'ant/{i}.jpg')
  with refused("'ant/9.jpg'"):
    folder.load('ant/9.jpg')


def test_a_folder_in_no_layout(tmp_path):
  with refused('none', '`data_dir`'):
    Folder(tmp_path / 'none')
  with refused(tmp_path, 'empty'):
    Folder(tmp_path)
  (tmp_path / 'a.jpg').write_bytes(b'')
  with refused(tmp_path, 'JSON'):
    Folder(tmp_path)
  (tmp_path / 'settings.json').write_text('{}')
  with refused('settings.json'):
    Folder(tmp_path)
  with refused('`splits_dir`'):
    make_benchmark('folder', data_dir=tmp_path, splits_dir=tmp_path)


# What all layouts share.


@pytest.fixture(params=['classes', 'coco', 'labelme'])
def folder(request, tmp_path):
  if request.param == 'classes':
    return Folder(save_classes(tmp_path / 'own'))
  if request.param == 'labelme':
    return Folder(save_all_labelme(tmp_path / 'own'))
  content = coco_content()
  del content['categories'][2]
  return Folder(save_coco(tmp_path / 'own', content))


def bytes_of(source):
  return source.data if isinstance(source, Encoded) else source.read_bytes()


def test_lists_and_decoding_without_the_folder(folder):
  """As a prepared set has it: the description as JSON, copies of what `encoded` gives."""
  rebuilt = Folder.from_description(json.loads(json.dumps(folder.description())))
  assert rebuilt.description() == folder.description()
  for name in Benchmark.__annotations__:
    assert getattr(rebuilt, name) == getattr(folder, name), name
  for fold, name in itertools.product(range(folder.num_folds), folder.splits):
    assert rebuilt.split(fold, name) == folder.split(fold, name)
  for name in folder.image_names():
    copies = [Encoded(bytes_of(source), 'copy') for source in folder.encoded(name)]
    for a, b in zip(rebuilt.decode(name, *copies), folder.load(name), strict=True):
      np.testing.assert_array_equal(a, b, strict=True)
  with refused(folder.image_names()[0], '`data_dir`'):
    rebuilt.load(folder.image_names()[0])
  with refused('items'):
    Folder.from_description({'layout': 'coco'})


def test_workers_and_threads_read_the_same(folder):
  copy = pickle.loads(pickle.dumps(folder))
  names = folder.image_names() * 3
  expected = {name: copy.load(name)[1] for name in folder.image_names()}
  labels = [None] * len(names)

  def read(i):
    labels[i] = folder.load(names[i])[1]

  threads = [threading.Thread(target=read, args=[i]) for i in range(len(names))]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  for name, label in zip(names, labels, strict=True):
    np.testing.assert_array_equal(label, expected[name])


def test_opening_decodes_no_picture(classes, monkeypatch):
  monkeypatch.setattr(Image, 'open', lambda *_: pytest.fail('opened a picture'))
  assert len(Folder(classes).image_names()) == 15


def test_episodes_of_ones_own_pictures(classes):
  folder = Folder(classes)
  (batch,) = eval_batches(folder, fold=0, count=6, image_size=16, batch_size=6, num_threads=0)
  assert batch['class_id'].tolist() == [0, 4] * 3
  assert batch['query_mask'].any(axis=(1, 2)).all()
  epoch = train_batches(
    folder, fold=0, image_size=16, batch_size=3, epochs=1, num_threads=0, distinct=True, shots=2
  )
  batches = list(epoch)
  assert sorted(c for b in batches for c in b['class_id'].tolist()) == [1] * 3 + [2] * 3 + [3] * 3
  assert all(batch['support_masks'].any(axis=(2, 3)).all() for batch in batches)
  held = HeldOut(folder)
  assert {held.test_classes(0), tuple(held.split(0, 'trn').by_class)} == {(1,), (2, 3)}


def test_a_doubtful_mask_is_named_once_however_often_it_is_read(tmp_path):
  save_photo(tmp_path / 'leaf' / 'a.jpg')
  save_mask(tmp_path / 'leaf' / 'a.png', 255 - box(255))
  folder = Folder(tmp_path)
  with warned(tmp_path / 'leaf' / 'a.png', 'border'):
    for _ in range(3):
      folder.load('leaf/a.jpg')
  with warned(tmp_path / 'leaf' / 'a.png', 'border'):
    Folder(tmp_path).load('leaf/a.jpg')
