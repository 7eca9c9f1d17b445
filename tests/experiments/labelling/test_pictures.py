"""The folder: what is a picture in it, and how much of one is read."""

import io
import os

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from experiments.labelling import pictures
from experiments.labelling.pictures import (
  LONGEST_SIDE,
  THUMBNAIL,
  for_browsers,
  list_pictures,
  look,
  look_at,
  read_file,
  read_picture,
)
from experiments.storage.results import write_png
from hsnet_jax.errors import InputError
from tests.labelling import save_pictures, served


def test_what_is_listed(tmp_path):
  folder = save_pictures(tmp_path / 'pictures', ['a.jpg', 'b.png', 'c.TIF', '한국.webp'])
  save_pictures(folder, ['a_mask.png', 'b_mask.png', '.hidden.jpg', 'a_predicted.png'])
  save_pictures(folder / 'inner', ['d.jpg'])
  write_png(folder / 'result.png', Image.new('L', (3, 3)), of={'x': 1})
  (folder / 'notes.txt').write_text('x')
  (folder / 'folder.jpg').mkdir()
  (folder / 'link.jpg').symlink_to(folder / 'a.jpg')
  (folder / 'gone.jpg').symlink_to(folder / 'none.jpg')
  os.mkfifo(folder / 'pipe.jpg')
  assert sorted(list_pictures(folder)) == ['a.jpg', 'b.png', 'c.TIF', '한국.webp']


@pytest.mark.skipif(os.name != 'posix', reason='names are text there')
def test_names_that_are_no_text_are_passed_over(tmp_path):
  folder = save_pictures(tmp_path / 'pictures')
  try:
    os.rename(os.fsencode(folder / 'a.jpg'), os.fsencode(folder) + b'/\xff.jpg')
  except OSError:
    pytest.skip('this disk has names that are text alone')
  assert sorted(list_pictures(folder)) == ['b.jpg', 'c.jpg']


@pytest.mark.parametrize('orientation', range(1, 9))
def test_pictures_are_upright(tmp_path, orientation):
  exif = Image.Exif()
  exif[0x0112] = orientation
  Image.new('RGB', (400, 300)).save(tmp_path / 'a.jpg', exif=exif)
  file = look_at(tmp_path, 'a.jpg')
  data = read_file(tmp_path, 'a.jpg')
  turned = orientation > 4
  assert (file.width, file.height) == ((300, 400) if turned else (400, 300))
  assert read_picture(data).shape[:2] == (file.height, file.width)
  with served(tmp_path) as (page, _):
    made = io.BytesIO(pictures.thumbnail(page.folder, page.store.picture('a.jpg')))
  with Image.open(made) as small:
    assert max(small.size) == THUMBNAIL and (small.height > small.width) == turned
  # The file itself: a browser turns it.
  assert for_browsers(data) == ((tmp_path / 'a.jpg').read_bytes(), 'image/jpeg')


def test_a_side_has_a_limit(tmp_path):
  for side in (LONGEST_SIDE, LONGEST_SIDE + 1):
    Image.new('L', (2, side)).save(tmp_path / f'{side}.png')
  assert look_at(tmp_path, f'{LONGEST_SIDE}.png').problem is None
  file = look_at(tmp_path, f'{LONGEST_SIDE + 1}.png')
  assert file.problem is not None and file.width == 0
  with pytest.raises(InputError):
    read_picture(read_file(tmp_path, f'{LONGEST_SIDE + 1}.png'))


def test_a_bomb_is_named_and_not_decoded(tmp_path):
  """A small file that says it holds 400 million pixels."""
  Image.new('1', (20_000, 20_000)).save(tmp_path / 'bomb.png')
  assert look_at(tmp_path, 'bomb.png').problem is not None
  with pytest.raises(InputError):
    read_picture(read_file(tmp_path, 'bomb.png'))


@pytest.mark.parametrize('name', ['', '.', '..', '../x.jpg', 'x/y.jpg', '/etc/passwd'])
def test_names_are_those_of_files(tmp_path, name):
  with pytest.raises(InputError):
    read_file(tmp_path, name)


def test_large_files_are_refused(tmp_path, monkeypatch):
  (tmp_path / 'a.jpg').write_bytes(bytes(1000))
  monkeypatch.setattr(pictures, 'MOST_BYTES', 999)
  with pytest.raises(InputError, match='at most'):
    read_file(tmp_path, 'a.jpg')


def test_another_look_finds_what_has_come_changed_and_gone(tmp_path):
  folder = save_pictures(tmp_path / 'pictures')
  with served(folder) as (page, _):
    known = {name: page.store.picture(name) for name in ('a.jpg', 'b.jpg', 'c.jpg')}
    assert look(folder, known) == ([], [])
    save_pictures(folder, ['d.jpg'])
    save_pictures(folder, ['b.jpg'], size=(5, 6))
    (folder / 'c.jpg').unlink()
    files, gone = look(folder, known)
    assert sorted(one.name for one in files) == ['b.jpg', 'd.jpg'] and gone == ['c.jpg']
    sizes = {one.name: (one.height, one.width) for one in files}
    assert sizes == {'b.jpg': (5, 6), 'd.jpg': (30, 40)}


def test_animations_show_their_first_frame(tmp_path):
  frames = [Image.fromarray(np.full((20, 30, 3), 100 * i, np.uint8)) for i in range(3)]
  frames[0].save(tmp_path / 'a.gif', save_all=True, append_images=frames[1:])
  assert read_picture(read_file(tmp_path, 'a.gif')).max() == 0
  _, kind = for_browsers(read_file(tmp_path, 'a.gif'))
  assert kind == 'image/png'


def test_programs_in_pictures_are_not_run(tmp_path, monkeypatch):
  """Pillow has Ghostscript draw EPS, whatever the file is called."""
  out = io.BytesIO()
  Image.new('RGB', (5, 5)).save(out, 'EPS')
  (tmp_path / 'a.jpg').write_bytes(out.getvalue())
  run = []
  monkeypatch.setattr(EpsImagePlugin, 'Ghostscript', lambda *args: run.append(args))
  assert look_at(tmp_path, 'a.jpg').problem is not None
  for read in (read_picture, for_browsers):
    with pytest.raises(InputError):
      read(read_file(tmp_path, 'a.jpg'))
  assert not run


def test_the_pixels_of_a_png_are_not_decoded_to_list_it(tmp_path, monkeypatch):
  save_pictures(tmp_path, ['a.png'])

  def fail(self):
    raise AssertionError('decoded')

  monkeypatch.setattr(Image.Image, 'load', fail)
  file = look_at(tmp_path, 'a.png')
  assert (file.width, file.height, file.problem) == (40, 30, None)


def test_a_file_that_vanishes_while_it_is_looked_at_is_passed_over(tmp_path, monkeypatch):
  folder = save_pictures(tmp_path / 'pictures')
  listed = list_pictures(folder)
  monkeypatch.setattr(pictures, 'list_pictures', lambda folder, *, known=(): listed)
  (folder / 'b.jpg').unlink()
  files, gone = look(folder, {})
  assert [one.name for one in files] == ['a.jpg', 'c.jpg'] and gone == []
