"""experiments/prepare.py from end to end."""

import fcntl
import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from data_pipelines import make_benchmark, resize_image, resize_mask
from tests import trees


@pytest.fixture
def pascal(tmp_path):
  """(flags that name a PASCAL-5i, data_dir, splits_dir)."""
  data, lists = trees.save_pascal(tmp_path)
  return ['--benchmark=pascal', f'--data_dir={data}', f'--splits_dir={lists}'], data, lists


def mask_path(data, name):
  return data / 'SegmentationClassAug' / f'{name}.png'


def files_of(folder):
  return {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in folder.rglob('*') if p.is_file()}


def test_prepares_once_and_says_what_it_found(served, pascal, tmp_path):
  flags, data, lists = pascal
  done = served('prepare', *flags, cwd=tmp_path)
  assert done.returncode == 0, done.stderr
  lines = done.stdout.splitlines()
  assert lines[0].split() == ['fold', 'class', 'name', 'trn', 'val']
  assert [line.split()[:5] for line in lines[1:21]] == [
    [str(c // 5), str(c), name, '2', '2']
    for c, name in enumerate(make_benchmark('pascal', data_dir=data, splits_dir=lists).class_names)
  ]
  assert 'prepared: prepared/pascal5i/1.0.0, 80 images as they came' in lines[21]
  before = files_of(tmp_path / 'prepared' / 'pascal5i' / '1.0.0')
  done = served('prepare', *flags, cwd=tmp_path)
  assert done.returncode == 0 and 'already prepared: prepared/pascal5i/1.0.0' in done.stdout
  assert files_of(tmp_path / 'prepared' / 'pascal5i' / '1.0.0') == before


def test_a_set_that_is_there_is_not_taken_for_another(served, failure, pascal, tmp_path):
  flags, _, lists = pascal
  assert served('prepare', *flags, '--prepare_size=16', cwd=tmp_path).returncode == 0
  line = failure(served('prepare', *flags, '--prepare_size=24', cwd=tmp_path))
  assert 'prepared with --prepare_size=16, and asked for is --prepare_size=24' in line
  line = failure(served('prepare', *flags, cwd=tmp_path))
  assert 'asked for is no --prepare_size' in line
  path = lists / 'pascal' / 'val' / 'fold3.txt'
  path.write_text(path.read_text().replace('2007_val_200__20\n', ''))
  line = failure(served('prepare', *flags, '--prepare_size=16', cwd=tmp_path))
  assert 'prepared from other lists than pascal fold 3 val' in line


def test_a_set_of_files_that_have_changed_is_not_taken_for_one_of_these(
  served, failure, pascal, tmp_path
):
  flags, data, _ = pascal
  assert served('prepare', *flags, cwd=tmp_path).returncode == 0
  # A folder that was moved is the same.
  data.rename(data.with_name('moved'))
  moved = [flags[0], f'--data_dir={data.with_name("moved")}', flags[2]]
  assert 'already prepared' in served('prepare', *moved, cwd=tmp_path).stdout
  data.with_name('moved').rename(data)
  held = mask_path(data, '2007_val_010').read_bytes()
  shutil.copy(mask_path(data, '2007_val_011'), mask_path(data, '2007_val_010'))
  line = failure(served('prepare', *flags, cwd=tmp_path))
  assert f'1.0.0: prepared from other files, those of {data}, or they have changed since' in line
  mask_path(data, '2007_val_010').write_bytes(held)  # The same content at another time.
  assert 'prepared from other files' in failure(served('prepare', *flags, cwd=tmp_path))


def test_a_set_that_did_not_note_its_files(served, failure, pascal, tmp_path):
  flags, *_ = pascal
  assert served('prepare', *flags, cwd=tmp_path).returncode == 0
  path = tmp_path / 'prepared' / 'pascal5i' / '1.0.0' / 'metadata.json'
  record = json.loads(path.read_text())
  del record['files'], record['data_dir']
  path.write_text(json.dumps(record))
  line = failure(served('prepare', *flags, cwd=tmp_path))
  assert 'did not note from which files' in line and 'delete it to prepare it anew' in line


def test_flags_of_training_are_refused(served, failure, tmp_path):
  for flag in ('--image_size=400', '--fold=1'):
    line = failure(served('prepare', '--benchmark=shapes', flag, cwd=tmp_path))
    assert f"Unknown command line flag '{flag[2:-2].rstrip('=4')}'" in line
  assert not list(tmp_path.iterdir())


def test_locks(served, failure, pascal, tmp_path):
  flags, *_ = pascal
  own = tmp_path / 'prepared' / 'pascal5i'
  own.mkdir(parents=True)
  with open(own / '.lock', 'w') as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert 'another process prepares this set' in failure(served('prepare', *flags, cwd=tmp_path))


def spoil(data, name, how):
  image = data / 'JPEGImages' / f'{name}.jpg'
  mask = mask_path(data, name)
  if how == 'empty':
    image.write_bytes(b'')
  elif how == 'truncated':
    mask.write_bytes(mask.read_bytes()[:-40])
  elif how == 'missing':
    mask.unlink()
  elif how == 'size':
    Image.fromarray(np.full((5, 6), 1, np.uint8)).save(mask)
  else:
    label = np.array(Image.open(mask))
    Image.fromarray(np.where(label, 2 if how == 'class' else 21, 0).astype(np.uint8)).save(mask)


@pytest.mark.parametrize(
  'how, words',
  [
    ('empty', '2007_val_010.jpg: the file is empty'),
    ('truncated', '2007_val_010.png: the image is truncated'),
    ('missing', '2007_val_010.png: no such'),
    ('size', '2007_val_010.png: the mask is 6 x 5, its image'),
    ('class', "2007_val_010.png: does not show class 'aeroplane' (1) that 2007_val_010 is listed"),
    ('unknown', '2007_val_010.png: value 21 is no class; a mask holds 0 and 1 to 20'),
  ],
)
def test_a_bad_image_is_named_or_left_out(served, failure, pascal, tmp_path, how, words):
  flags, data, lists = pascal
  spoil(data, '2007_val_010', how)
  done = served('prepare', *flags, cwd=tmp_path)
  assert words in failure(done) and '--on_bad_image=skip' in failure(done)
  assert not (tmp_path / 'prepared' / 'pascal5i' / '1.0.0').exists()
  done = served('prepare', *flags, '--on_bad_image=skip', cwd=tmp_path)
  assert done.returncode == 0, done.stderr
  assert words in done.stdout and '79 images as they came' in done.stdout
  assert '1 left out as bad' in done.stdout
  row = next(line for line in done.stdout.splitlines() if line.split()[2:3] == ['aeroplane'])
  assert row.split() == '0 0 aeroplane 2 1 too few for an episode in val'.split()
  with pytest.warns(UserWarning, match='1 listed image was left out'):
    prepared = make_benchmark('pascal', splits_dir=lists, prepared_dir=tmp_path / 'prepared')
  assert list(prepared.skipped) == ['2007_val_010']
  assert '2007_val_010 first; give --on_bad_image=skip' in failure(
    served('prepare', *flags, cwd=tmp_path)
  )
  done = served('prepare', *flags, '--on_bad_image=skip', cwd=tmp_path)
  assert done.returncode == 0 and 'already prepared' in done.stdout and words in done.stdout
  # A bad image that has been mended since is another file.
  for path in (data / 'JPEGImages' / '2007_val_011.jpg', mask_path(data, '2007_val_011')):
    shutil.copy(path, path.with_stem('2007_val_010'))
  done = served('prepare', *flags, '--on_bad_image=skip', cwd=tmp_path)
  assert 'prepared from other files' in failure(done)


def test_a_folder_that_is_not_there_is_said_once(served, failure, pascal, tmp_path):
  flags, data, _ = pascal
  (data / 'JPEGImages').rename(data / 'photographs')
  (data / 'JPEGImages').mkdir()
  done = served('prepare', *flags, cwd=tmp_path)
  assert '(and 79 more): no such image' in failure(done)
  assert '--on_bad_image=skip' in failure(done)
  assert 'bad image' not in done.stdout and '17,125 photographs' in done.stderr


def test_many_bad_images_do_not_flood_the_screen(served, failure, pascal, tmp_path):
  flags, data, _ = pascal
  bad = sorted((data / 'JPEGImages').glob('*.jpg'))[:23]
  for path in bad:
    path.write_bytes(b'')
  done = served('prepare', *flags, cwd=tmp_path)
  rest = 'prepared/pascal5i/1.0.0.unfinished/bad_images.txt'
  assert '(and 22 more, listed above)' in failure(done)
  assert sum(line.startswith('bad image: ') for line in done.stdout.splitlines()) == 20
  assert f'... and 3 more; all 23 are in {rest}' in done.stdout
  lines = (tmp_path / rest).read_text().splitlines()
  assert len(lines) == 23 and all(any(str(p) in line for line in lines) for p in bad)
  done = served('prepare', *flags, '--on_bad_image=skip', cwd=tmp_path)
  assert 'all 23 are in prepared/pascal5i/1.0.0/metadata.json' in done.stdout
  record = json.loads((tmp_path / 'prepared/pascal5i/1.0.0/metadata.json').read_text())
  assert set(record['skipped']) == {p.stem for p in bad}


def test_all_bad_images_are_listed(served, failure, pascal, tmp_path):
  flags, data, _ = pascal
  for name, how in (('2007_trn_031', 'empty'), ('2007_val_200', 'unknown')):
    spoil(data, name, how)
  done = served('prepare', *flags, cwd=tmp_path)
  assert '(and 1 more, listed above)' in failure(done)
  assert sum(line.startswith('bad image: ') for line in done.stdout.splitlines()) == 2
  # Mended, the rest is taken from the journal.
  shutil.copy(data / 'JPEGImages' / '2007_trn_030.jpg', data / 'JPEGImages' / '2007_trn_031.jpg')
  shutil.copy(mask_path(data, '2007_trn_030'), mask_path(data, '2007_trn_031'))
  shutil.copy(data / 'JPEGImages' / '2007_val_201.jpg', data / 'JPEGImages' / '2007_val_200.jpg')
  shutil.copy(mask_path(data, '2007_val_201'), mask_path(data, '2007_val_200'))
  journal = next((tmp_path / 'prepared' / 'pascal5i' / '1.0.0.unfinished').glob('*.jsonl'))
  # Proof that it is the journal that is believed: a class that the file does not show.
  text = journal.read_text()
  assert text.count('"2007_val_110"') == 1
  lines = [json.loads(line) for line in text.splitlines() if line]
  for finding in lines:
    if finding['name'] == '2007_val_110':
      finding['values'] = [0, 12]
  journal.write_text('\n'.join(map(json.dumps, lines)) + '\n{"name": "torn')
  assert "does not show class 'diningtable' (11)" in failure(
    served('prepare', *flags, cwd=tmp_path)
  )
  # And that it is not where a file has changed since.
  label = Image.open(mask_path(data, '2007_val_110'))
  label.load()
  label.save(mask_path(data, '2007_val_110'), compress_level=0)
  done = served('prepare', *flags, cwd=tmp_path)
  assert done.returncode == 0 and '80 images' in done.stdout


def test_a_name_listed_twice(served, failure, pascal, tmp_path):
  flags, _, lists = pascal
  path = lists / 'pascal' / 'val' / 'fold0.txt'
  path.write_text(path.read_text() + '2007_val_010__01\n')
  assert '2007_val_010__01 is in lines 1 and 11' in failure(served('prepare', *flags, cwd=tmp_path))


def test_a_table_of_lists_without_folds(served, tmp_path):
  data, lists = trees.save_fss(tmp_path)
  flags = ['--benchmark=fss', f'--data_dir={data}', f'--splits_dir={lists}']
  done = served('prepare', *flags, '--prepare_size=16', cwd=tmp_path)
  assert done.returncode == 0, done.stderr
  assert [line.split() for line in done.stdout.splitlines()[:4]] == [
    ['fold', 'class', 'name', 'trn', 'val', 'test'],
    ['0', '0', 'abacus', '10', '0', '0'],
    ['0', '520', 'bolete', '0', '10', '0'],
    ['0', '760', 'yurt', '0', '0', '10'],
  ]
  prepared = make_benchmark('fss', splits_dir=lists, prepared_dir=tmp_path / 'prepared')
  image, label = prepared.load('yurt/3.jpg')
  assert image.shape == (16, 16, 3) and set(np.unique(label)) == {0, 761}


def test_what_goes_where_is_said(served, failure, tmp_path):
  done = served('prepare', '--benchmark=fss', cwd=tmp_path)
  assert 'benchmark fss needs --data_dir' in failure(done)
  assert 'abacus/1.jpg with abacus/1.png' in done.stderr
  done = served('prepare', '--benchmark=fss', '--data_dir=here', '--download', cwd=tmp_path)
  assert '--download: no part of fss can be fetched' in failure(done)


def test_a_process_that_is_killed_is_resumed(served, pascal, tmp_path, environment):
  flags, data, lists = pascal
  whole = mask_path(data, '2007_val_200')
  held = whole.with_suffix('.held')
  whole.rename(held)
  # The last image cannot be read to its end until somebody writes to the pipe in its place.
  subprocess.run(['mkfifo', whole], check=True)
  command = [sys.executable, '-m', 'experiments.prepare', *flags, '--prepare_size=16']
  process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
  journal = tmp_path / 'prepared' / 'pascal5i' / '1.0.0.unfinished'
  deadline = time.monotonic() + 120
  while sum(p.read_text().count('"name"') for p in journal.glob('*.jsonl')) < 60:
    assert process.poll() is None and time.monotonic() < deadline
    time.sleep(0.05)
  process.kill()
  process.wait()
  whole.unlink()
  held.rename(whole)
  # What was checked is taken from the journal: nothing but the journal still says that it is sound.
  path = next(journal.glob('*.jsonl'))
  known = [json.loads(line) for line in path.read_text().splitlines() if line.endswith('}')]
  assert len(known) >= 60
  assert (
    known[0]['name'] == make_benchmark('pascal', data_dir=data, splits_dir=lists).image_names()[0]
  )
  known[0]['values'] = [0, 20]
  spoiled = path.read_text()
  path.write_text('\n'.join(map(json.dumps, known)))
  done = served('prepare', *flags, '--prepare_size=16', cwd=tmp_path)
  assert f'that {known[0]["name"]} is listed under' in done.stderr
  path.write_text(spoiled)
  done = served('prepare', *flags, '--prepare_size=16', cwd=tmp_path)
  assert done.returncode == 0, done.stderr
  assert '80 images at 16 x 16' in done.stdout
  assert [p.name for p in journal.parent.iterdir() if p.name[0] != '.'] == ['1.0.0']
  prepared = make_benchmark('pascal', splits_dir=lists, prepared_dir=tmp_path / 'prepared')
  assert len(prepared) == 80 and prepared.load('2007_val_200')[0].shape == (16, 16, 3)


def test_a_full_disk_leaves_no_half_set(script, failure, served, pascal, tmp_path):
  flags = [*pascal[0], '--prepare_size=64']
  # A limit on the size of files stands in for the disk: the journal fits, the pixels do not.
  done = script('prepare', *flags, cwd=tmp_path, max_file=2**18)
  assert 'prepared/pascal5i/1.0.0: not prepared: the file is larger than allowed' in failure(done)
  assert 'run the same command again' in failure(done)
  own = tmp_path / 'prepared' / 'pascal5i'
  assert [p.name for p in own.iterdir() if p.name[0] != '.'] == ['1.0.0.unfinished']
  done = served('prepare', *flags, cwd=tmp_path)
  assert done.returncode == 0 and '80 images at 64 x 64' in done.stdout


def test_real_photographs(shared, served, tmp_path):
  whole, narrow = shared / 'data' / 'splits' / 'pascal', tmp_path / 'splits' / 'pascal'
  for path in whole.glob('*/fold*.txt'):
    (narrow / path.parent.name).mkdir(parents=True, exist_ok=True)
    lines = path.read_text().splitlines()[:3]
    (narrow / path.parent.name / path.name).write_text('\n'.join(lines))
  data, lists = shared / 'data' / 'VOC2012', narrow.parent
  flags = ['--benchmark=pascal', f'--data_dir={data}', f'--splits_dir={lists}']
  folder = make_benchmark('pascal', data_dir=data, splits_dir=lists)
  for size in (None, 400):
    own = [f'--prepare_size={size}'] if size else []
    done = served('prepare', *flags, *own, f'--prepared_dir={tmp_path / str(size)}')
    assert done.returncode == 0, done.stderr
    prepared = make_benchmark('pascal', splits_dir=lists, prepared_dir=tmp_path / str(size))
    for name in folder.image_names():
      image, label = folder.load(name)
      if size:
        image, label = resize_image(image, (size, size)), resize_mask(label, (size, size))
      for a, b in zip(prepared.load(name), (image, label), strict=True):
        np.testing.assert_array_equal(a, b, strict=True)
