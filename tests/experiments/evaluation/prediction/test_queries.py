"""Which files are queries, what is left out and why, and what their results are called."""

import os

import numpy as np
import pytest
from PIL import Image

from experiments.evaluation.prediction import queries
from experiments.storage.results import write_png
from hsnet_jax.errors import InputError
from tests.experiments.evaluation.given import mask, picture


def found_in(folder, **options):
  """(names of the queries' results, what was left out) of a folder."""
  found, left = queries.find_queries([str(folder)], **options)
  return [one.name.as_posix() for one in found], str(left)


def test_queries_that_are_not_there_are_named(tmp_path):
  with pytest.raises(InputError, match='`query`'):
    queries.find_queries([])
  with pytest.raises(InputError, match='no image .*`query`'):
    queries.find_queries([str(tmp_path)])
  with pytest.raises(InputError, match=r'no\.jpg.*`query`'):
    queries.find_queries([str(tmp_path / 'no.jpg')])
  (tmp_path / 'notes.txt').touch()
  with pytest.raises(InputError, match=r'no image .*notes\.txt'):
    queries.find_queries([str(tmp_path)])


def test_a_path_may_be_under_the_users_home(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  monkeypatch.chdir(tmp_path)
  picture(tmp_path / 'q.jpg')
  picture(tmp_path / '~nobody.jpg')
  assert found_in('~')[0] == ['q', '~nobody']
  assert found_in('~nobody.jpg')[0] == ['~nobody']


def test_what_is_no_photograph_is_left_out_and_counted(tmp_path):
  for name in ('a.jpg', 'b.jpg', 'c.png', 'lone_mask.jpg'):
    picture(tmp_path / name)
  for name in ('a.png', 'b_mask.png', 'c_mask.png', 'support.png'):
    mask(tmp_path / name)
  write_png(tmp_path / 'elsewhere.png', Image.new('L', (3, 4)), of={})
  mask(tmp_path / 'b_predicted-2.png')
  picture(tmp_path / 'c-page3_overlay.png')
  for name in ('._a.jpg', '.DS_Store', 'notes.txt', 'a.json'):
    (tmp_path / name).write_text('no image')
  os.mkfifo(tmp_path / 'pipe.jpg')
  (tmp_path / 'gone.jpg').symlink_to('nowhere')
  (tmp_path / 'day2').mkdir()
  names, left = found_in(tmp_path, masks=[str(tmp_path / 'support.png')])
  assert names == ['a', 'b', 'c', 'lone_mask']
  for facts in ('hidden files: 2', 'masks beside pictures: 4', 'results: 3', 'other kinds: 4'):
    assert facts in left
  assert 'day2' in left and '--recursive' in left and '._a.jpg' in left


def test_two_photographs_of_one_name_are_both_queries(tmp_path):
  for name in ('x.jpg', 'x.tif', 'y.jpg', 'y.png', 'z.jpg', 'z.png'):
    picture(tmp_path / name)
  red = np.zeros((45, 60, 3), np.uint8)
  red[10:20, 10:20, 0] = 128
  Image.fromarray(red).save(tmp_path / 'z.png')  # A mask in color.
  names, left = found_in(tmp_path)
  assert names == ['x.jpg', 'x.tif', 'y.jpg', 'y.png', 'z'] and 'z.png' in left


def test_names_of_several_folders_differ(tmp_path):
  given = []
  for folder in ('day1', 'day2', 'more/day1'):
    (tmp_path / folder).mkdir(parents=True)
    given.append(str(picture(tmp_path / folder / 'a.jpg')))
  given.append(str(picture(tmp_path / 'more' / 'B.jpg')))
  found, _ = queries.find_queries([*given, given[0], str(tmp_path / 'more')])
  names = [str(one.name) for one in found]
  assert names == ['day1_a.jpg', 'day2_a.jpg', 'day1_a.jpg-2', 'B']


def test_subfolders_are_entered_when_asked(tmp_path):
  names = ('b.jpg', 'day2/a.jpg', 'day2/deep/b.jpg', 'out/c.jpg', 'out/deep/b_predicted.png')
  for name in (*names, '.trash/a.jpg'):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    picture(tmp_path / name)
  (tmp_path / 'loop').symlink_to(tmp_path)
  names, left = found_in(tmp_path, output_dir=tmp_path / 'out', recursive=True)
  assert sorted(names) == ['b', 'day2/a', 'day2/deep/b', 'out/c']
  assert 'loop' in left and 'b_predicted.png' in left
  assert found_in(tmp_path, output_dir=tmp_path)[0] == ['b']
  elsewhere = tmp_path / 'elsewhere'
  assert 'out/deep/b_predicted' in found_in(tmp_path, output_dir=elsewhere, recursive=True)[0]


def frames(count, mode='RGB'):
  rng = np.random.default_rng(0)
  return [
    Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)).convert(mode) for _ in range(count)
  ]


@pytest.mark.parametrize('ending', ['tif', 'webp', 'gif', 'png'])
def test_pages_and_frames_are_queries_each(tmp_path, ending):
  made, path = frames(3), tmp_path / f'a.{ending}'
  made[0].save(path, save_all=True, append_images=made[1:], lossless=True)
  found, _ = queries.find_queries([str(path)])
  assert [str(one.name) for one in found] == ['a-page1', 'a-page2', 'a-page3']
  for one, frame in zip(found, made, strict=True):
    pixels = queries.read_query(one)
    off = np.abs(pixels.astype(int) - np.asarray(frame)).mean()
    assert off < 20 if ending == 'gif' else off == 0
  assert len({queries.digest_of(one) for one in found}) == 3


def test_pages_of_deep_gray_are_read_as_a_file_of_their_own(tmp_path):
  made = [Image.fromarray(np.full((5, 6), n, np.uint16)) for n in (65535, 32768)]
  made[0].save(tmp_path / 'a.tif', save_all=True, append_images=made[1:])
  found, _ = queries.find_queries([str(tmp_path / 'a.tif')])
  assert [int(queries.read_query(one).max()) for one in found] == [255, 128]


def test_a_thumbnail_in_a_tiff_and_a_cameras_second_view_are_no_pages(tmp_path):
  made = frames(2)
  made[1].encoderinfo = {'tiffinfo': {254: 1}}
  made[0].save(tmp_path / 'a.tif', save_all=True, append_images=made[1:])
  made[0].save(tmp_path / 'b.mpo', save_all=True, append_images=made[1:])
  (tmp_path / 'b.mpo').rename(tmp_path / 'b.jpg')
  names, left = found_in(tmp_path)
  assert names == ['a', 'b'] and 'a.tif' in left


def test_a_page_that_is_damaged_is_named(tmp_path):
  path = tmp_path / 'a.tif'
  made = frames(2)
  made[0].save(path, save_all=True, append_images=made[1:])
  second = queries.find_queries([str(path)])[0][1]
  path.write_bytes(path.read_bytes()[:2500])
  with pytest.raises(InputError, match=r'a\.tif, page 2'):
    queries.read_query(second)
