"""Exports: to the pixel in every format, whole or not at all, over nobody's changes."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from data_pipelines.own_pictures.folder import Folder
from experiments.labelling import pictures
from experiments.labelling.database import rows
from experiments.labelling.exporting import FORMATS, checked_name, export
from experiments.labelling.labels import areas_of, write_label
from hsnet_jax.errors import InputError
from tests.labelling import SIZE, Client, label_of, line, save_pictures, served

EXACT = ('coco', 'voc', 'folder')


def blocks(*, classes=2):
  """A label whose objects are rectangles, with a hole in one."""
  label = np.zeros(SIZE, np.uint8)
  label[2:20, 3:15] = 1
  label[6:10, 6:10] = 0
  if classes > 1:
    label[5:25, 20:38] = 2
  return label


@pytest.fixture
def drawn(client):
  """Two classes in one picture, one in another, none in the third."""
  client.post('/api/classes', json={'name': '고양이'})
  client.draw('a.jpg', blocks())
  client.draw('b.jpg', blocks(classes=1))
  client.draw('c.jpg', np.zeros(SIZE, np.uint8))
  return client


def asked(client, *formats, what='accepted'):
  answer = client.post('/api/export', json={'formats': formats, 'what': what})
  assert answer.status_code == 200, answer.text
  return answer.json()


def read_again(folder):
  """Returns {picture: {class name: mask}} of an export, as `train` reads it."""
  benchmark = Folder(folder)
  found = {}
  for item, class_id in benchmark.description()['items']:
    image, label = benchmark.load(item)
    assert image.shape[:2] == SIZE
    masks = found.setdefault(item.split('/')[-1], {})
    masks[benchmark.class_names[class_id]] = label == class_id + 1
  return found


@pytest.mark.parametrize('kind', [kind for kind in FORMATS if kind != 'png'])
def test_what_is_exported_is_read_again(drawn, folder, kind):
  asked(drawn, kind)
  found = read_again(folder / 'labels' / kind)
  assert found.keys() == {'a.jpg', 'b.jpg'}
  assert {name: set(masks) for name, masks in found.items()} == {
    'a.jpg': {'object', '고양이'},
    'b.jpg': {'object'},
  }
  for name, label in (('a.jpg', blocks()), ('b.jpg', blocks(classes=1))):
    for number, title in ((1, 'object'), (2, '고양이')):
      if title in found[name]:
        wrong = (found[name][title] != (label == number)).sum()
        # Outlines are within a pixel of the object's, a hole is cut open.
        assert wrong <= (0 if kind in EXACT else 60), title


def test_png_holds_the_numbers(drawn, folder):
  done = asked(drawn, 'png')
  assert done == {'folder': str(folder / 'labels'), 'files': 4}
  for name, label in (('a', blocks()), ('b', blocks(classes=1)), ('c', np.zeros(SIZE, np.uint8))):
    with Image.open(folder / 'labels' / 'png' / f'{name}.png') as image:
      assert image.mode == 'L'
      np.testing.assert_array_equal(np.asarray(image), label)
  names = (folder / 'labels' / 'png' / 'class_names.txt').read_text('utf-8')
  assert names == 'object\n고양이\n'


def test_any_pixels_come_back(client, folder):
  labels = {name: label_of(seed) for seed, name in enumerate(('a.jpg', 'b.jpg', 'c.jpg'))}
  for name, label in labels.items():
    client.draw(name, label)
  asked(client, 'png', *EXACT)
  for kind in ('coco', 'voc'):
    found = read_again(folder / 'labels' / kind)
    for name, label in labels.items():
      np.testing.assert_array_equal(found[name]['object'], label == 1)
  for name, label in labels.items():  # A reader would take dots for a photograph.
    with Image.open(folder / f'labels/folder/object/{name[0]}_mask.png') as image:
      np.testing.assert_array_equal(np.asarray(image), 255 * label)


def test_what_is_rejected_or_undecided_is_left_out(drawn, page):
  def names(what):
    asked(drawn, 'png', what=what)
    return {path.stem for path in (page.folder / 'labels' / 'png').glob('*.png')}

  assert names('all') == names('accepted') == {'a', 'b', 'c'}
  drawn.post('/api/pictures/b.jpg/decision', json={'decision': 'rejected'})
  assert names('all') == {'a', 'c'}
  page.store.drop('c.jpg')
  assert names('all') == {'a'}
  run, _ = page.store.read(rows.shown_run)
  found = {'areas': {1: 0.5}, 'confidence': 0.5, 'presence': 0.9, 'sha': 'x'}
  page.store.keep_found(run, 'c.jpg', write_label(blocks(classes=1)), **found)
  assert names('accepted') == {'a'} and names('all') == {'a', 'c'}
  page.store.decide('c.jpg', 'accepted')
  assert names('accepted') == {'a', 'c'}


def test_another_export_replaces_what_nobody_changed(drawn, folder):
  asked(drawn, 'png', 'voc')
  drawn.draw('b.jpg', label_of())
  assert asked(drawn, 'png')['folder'] == str(folder / 'labels')
  with Image.open(folder / 'labels' / 'png' / 'b.png') as image:
    np.testing.assert_array_equal(np.asarray(image), label_of())
  # Another format stays as it was.
  assert (folder / 'labels' / 'voc' / 'SegmentationClass' / 'b.png').exists()
  assert asked(drawn, 'voc')['folder'] == str(folder / 'labels')


def add(path):
  path.parent.joinpath('mine.txt').write_text('mine')


def change(path):
  path.write_bytes(path.read_bytes() + b' ')


def remove_marks(path):
  next(path.parents[1].glob('.hsnet*')).unlink()


@pytest.mark.parametrize('touch', [add, change, remove_marks])
def test_what_someone_changed_stays(drawn, folder, touch):
  asked(drawn, 'labelme')
  touch(folder / 'labels' / 'labelme' / 'a.json')
  before = {p: p.read_bytes() for p in (folder / 'labels').rglob('*') if p.is_file()}
  assert asked(drawn, 'labelme')['folder'] == str(folder / 'labels-2')
  assert asked(drawn, 'labelme')['folder'] == str(folder / 'labels-2')
  assert before == {p: p.read_bytes() for p in (folder / 'labels').rglob('*') if p.is_file()}


def test_someones_own_folder_and_link_stay(drawn, folder):
  (folder / 'labels').mkdir()
  (folder / 'labels' / 'mine.png').write_bytes(b'mine')
  (folder / 'labels-2').symlink_to(folder.parent)
  assert asked(drawn, 'png')['folder'] == str(folder / 'labels-3')
  assert [p.name for p in (folder / 'labels').iterdir()] == ['mine.png']


def test_whole_or_not_at_all(drawn, page, folder, monkeypatch):
  asked(drawn, 'png')
  before = {p: p.read_bytes() for p in (folder / 'labels').rglob('*') if p.is_file()}
  read, done = pictures.read_file, []

  def fail(*args):
    done.append(args)
    if len(done) > 2:
      raise OSError(28, 'No space left on device')
    return read(*args)

  monkeypatch.setattr(pictures, 'read_file', fail)
  answer = drawn.post('/api/export', json={'formats': ['png', 'voc'], 'what': 'all'})
  assert 'full' in line(answer, 507)
  assert before == {p: p.read_bytes() for p in (folder / 'labels').rglob('*') if p.is_file()}
  hidden = sorted(p.name for p in folder.iterdir() if p.name.startswith('.'))
  assert hidden == ['.hsnet']


def test_an_export_that_was_killed_is_cleared_up(drawn, folder):
  asked(drawn, 'png')
  shutil.copytree(folder / 'labels', folder / '.labels.part')
  (folder / '.labels.part' / 'half.png').write_bytes(b'half')
  (folder / 'labels').rename(folder / '.labels.old')  # Between the two renames.
  assert asked(drawn, 'coco')['folder'] == str(folder / 'labels')
  assert (folder / 'labels' / 'png' / 'a.png').exists()
  assert not list(folder.glob('.labels*'))


@pytest.mark.parametrize('name', ['.labels.part', '.labels.old'])
def test_what_is_no_export_of_its_name_stays(drawn, folder, name):
  (folder / name).mkdir()
  (folder / name / 'mine.png').write_bytes(b'mine')
  assert asked(drawn, 'png')['folder'] == str(folder / 'labels-2')
  assert (folder / name / 'mine.png').read_bytes() == b'mine'
  assert not (folder / 'labels').exists()


def test_pictures_of_one_stem_and_names_like_masks(tmp_path):
  names = ('a.jpg', 'a.png', 'A.JPG', 'b.bmp', 'b_mask.jpg', 'c.gif', 'd_predicted.jpg')
  folder = save_pictures(tmp_path / 'pictures', names)
  with served(folder) as (_, port), Client(port) as client:
    for name in names:
      client.draw(name, blocks(classes=1)).raise_for_status()
    asked(client, *FORMATS)
    listed = [one['name'] for one in client.get('/api/pictures').json()['pictures']]
    assert sorted(listed) == sorted(names)  # Exports are no pictures.
  for kind in FORMATS[1:]:
    assert len(read_again(folder / 'labels' / kind)) == len(names)
  assert len(list((folder / 'labels' / 'png').glob('*.png'))) == len(names)


def test_coco_of_what_the_network_found_has_a_score(drawn, folder, page):
  page.store.drop('b.jpg')
  run, _ = page.store.read(rows.shown_run)
  found = {'areas': areas_of(blocks(classes=1)), 'confidence': 0.5, 'presence': 0.9, 'sha': 'x'}
  assert page.store.keep_found(run, 'b.jpg', write_label(blocks(classes=1)), **found)
  asked(drawn, 'coco', what='all')
  content = json.loads((folder / 'labels/coco/annotations/instances.json').read_text('utf-8'))
  names = {one['id']: one['file_name'].split('/')[-1] for one in content['images']}
  scores = {(names[one['image_id']], one.get('score')) for one in content['annotations']}
  assert scores == {('a.jpg', None), ('b.jpg', 0.5)}
  assert [one['name'] for one in content['categories']] == ['object', '고양이']


def test_names_of_classes():
  assert checked_name('  red fox ') == 'red fox'
  for wrong in ('CON/x', '', 'a\nb', '.a', 'a.', 'Background', 'x' * 61):
    with pytest.raises(InputError):
      checked_name(wrong)


def test_export_needs_something(page, tmp_path):
  with pytest.raises(InputError, match='nothing'):
    export(page.store, page.folder, tmp_path / 'out', formats=['png'], what='all')
