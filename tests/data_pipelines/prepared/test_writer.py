"""Sets as TFDS has them, and downloads."""

import contextlib
import errno
import functools
import hashlib
import http.server
import io
import os
import shutil
import sys
import tarfile
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core import shuffle
from tensorflow_datasets.core.download.checksums import UrlInfo

from data_pipelines import make_benchmark
from data_pipelines.prepared import writer
from data_pipelines.prepared.builders import BUILDERS, builder_class
from data_pipelines.prepared.downloads import Archive, fetch
from data_pipelines.prepared.record import VERSION, set_name
from data_pipelines.reading.arrays import resize_image, resize_mask
from data_pipelines.reading.images import Encoded
from data_pipelines.shapes.benchmark import Shapes
from tests import trees
from tests.facts import refused


def make(name, root):
  if name == 'shapes':
    return Shapes(size=32, train_images=1, test_images=1)
  if name == 'folder':
    return make_benchmark(name, data_dir=trees.save_classes(root))
  data, lists = getattr(trees, f'save_{name}')(root)
  return make_benchmark(name, data_dir=data, splits_dir=lists)


def bytes_of(source):
  return source.data if isinstance(source, Encoded) else source.read_bytes()


def read(builder, decoders=None):
  source = tfds.builder_from_directory(str(builder.folder)).as_data_source(
    'images', decoders=decoders
  )
  return [source[i] for i in range(len(source))]


@pytest.mark.parametrize('name', BUILDERS)
def test_a_set_holds_the_files_in_the_order_of_the_lists(name, tmp_path, monkeypatch):
  # Past this many bytes, TFDS would reach for TensorFlow if records went through its shuffler.
  monkeypatch.setattr(shuffle, 'MAX_MEM_BUFFER_SIZE', 0)
  benchmark = make(name, tmp_path)
  builder = builder_class(name)(benchmark, data_dir=tmp_path / 'prepared')
  assert isinstance(builder, tfds.core.GeneratorBasedBuilder)
  builder.write()
  assert [p.name for p in builder.folder.parent.iterdir()] == ['1.0.0']
  skip = tfds.decode.SkipDecoding()
  records = read(builder, {'image': skip, 'mask': skip})
  assert tuple(r['name'].decode() for r in records) == benchmark.image_names()
  for record in records[::7]:
    image, mask = map(bytes_of, benchmark.encoded(record['name'].decode()))
    assert (record['image'], record['mask']) == (image, mask)
  assert 'tensorflow' not in sys.modules


@pytest.mark.parametrize('name', ['pascal', 'fss', 'folder'])
def test_a_set_at_a_size_holds_resized_pixels(name, tmp_path):
  benchmark = make(name, tmp_path)
  builder = builder_class(name)(benchmark, data_dir=tmp_path / 'prepared', image_size=(17, 23))
  builder.write()
  records = read(builder)
  assert len(records) == len(benchmark.image_names())
  for record in records:
    image, label = benchmark.load(record['name'].decode())
    np.testing.assert_array_equal(record['image'], resize_image(image, (17, 23)), strict=True)
    np.testing.assert_array_equal(record['mask'], resize_mask(label, (17, 23)), strict=True)


def test_a_benchmark_without_a_row_of_builders_has_a_set_of_its_name(tmp_path):
  class Own(Shapes):
    name = 'my_own'

  benchmark = Own(size=32, train_images=1, test_images=1)
  builder = builder_class('my_own')(benchmark, data_dir=tmp_path)
  builder.write()
  assert builder.folder == tmp_path / 'my_own' / '1.0.0'
  assert 'my_own' in builder.MANUAL_DOWNLOAD_INSTRUCTIONS
  assert len(read(builder)) == len(benchmark.image_names())


def test_sets_are_where_the_reader_looks():
  assert {name: cls.name for name, cls in BUILDERS.items()} == {n: set_name(n) for n in BUILDERS}
  assert {str(cls.VERSION) for cls in BUILDERS.values()} == {VERSION}


class Interrupted(Exception):
  pass


class Counting:
  """A benchmark that counts what is read of it, and fails at one image.

  Threads read a few images at a time, in any order.
  """

  def __init__(self, benchmark, fails_at=None):
    self._benchmark, self._fails_at, self.read = benchmark, fails_at, []

  def __getattr__(self, name):
    return getattr(self._benchmark, name)

  def encoded(self, name):
    if name == self._fails_at:
      raise Interrupted
    self.read.append(name)
    return self._benchmark.encoded(name)


def test_a_second_attempt_writes_the_rest(tmp_path):
  benchmark = make('folder', tmp_path)
  names = benchmark.image_names()
  versions = {name: 0 for name in names}

  def builder(source, **options):
    return builder_class('folder')(
      source,
      data_dir=tmp_path / 'prepared',
      versions=versions,
      records_per_shard=3,
      **options,
    )

  with pytest.raises(Interrupted):
    builder(Counting(benchmark, fails_at=names[7])).write()
  folder = builder(benchmark).folder
  assert not folder.exists()
  # What a process leaves that is killed: its folder, and a shard that it was writing.
  (folder.parent / 'incomplete.ABCDEF_1.0.0').mkdir()
  (folder.with_name('1.0.0.unfinished') / 'f00.part').write_bytes(b'torn')
  versions[names[4]] = 1
  source, done = Counting(benchmark), []
  builder(source, on_image=lambda: done.append(1)).write()
  assert sorted(source.read) == sorted(names[3:]) and len(done) == len(names)
  skip = tfds.decode.SkipDecoding()
  records = read(builder(benchmark), {'image': skip, 'mask': skip})
  assert [r['name'].decode() for r in records] == list(names)
  assert [p.name for p in folder.parent.iterdir()] == ['1.0.0']


def test_a_shard_that_lost_its_content_is_written_anew(tmp_path):
  benchmark = make('folder', tmp_path)
  names = benchmark.image_names()

  def builder(source):
    return builder_class('folder')(source, data_dir=tmp_path / 'prepared', records_per_shard=3)

  with pytest.raises(Interrupted):
    builder(Counting(benchmark, fails_at=names[7])).write()
  shards = [p for p in builder(benchmark).unfinished.iterdir() if p.is_file() and not p.suffix]
  assert len(shards) == 2
  for shard in shards:
    shard.write_bytes(b'')
  source = Counting(benchmark)
  builder(source).write()
  assert sorted(source.read) == sorted(names)
  skip = tfds.decode.SkipDecoding()
  records = read(builder(benchmark), {'image': skip, 'mask': skip})
  assert [r['name'].decode() for r in records] == list(names)


def test_a_shard_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
  calls, replace = [], os.replace
  monkeypatch.setattr(writer, 'sync', lambda path: calls.append(('sync', path.suffix)))

  def replacing(part, finished):
    if str(part).endswith('.part'):
      calls.append(('replace', '.part'))
    replace(part, finished)

  monkeypatch.setattr(writer.os, 'replace', replacing)
  builder = builder_class('folder')(make('folder', tmp_path), data_dir=tmp_path / 'prepared')
  builder.write()
  assert calls[:3] == [('sync', '.part'), ('replace', '.part'), ('sync', '.unfinished')]
  # And the set before what is left is deleted.
  assert ('sync', '.json') in calls[3:]


def test_nothing_is_left_among_temporary_files(tmp_path, monkeypatch):
  (tmp_path / 'temporary').mkdir()
  monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path / 'temporary'))
  benchmark = make('folder', tmp_path)
  builder_class('folder')(benchmark, data_dir=tmp_path / 'prepared').write()
  builder_class('folder')(benchmark, data_dir=tmp_path / 'prepared')
  assert not list((tmp_path / 'temporary').iterdir())


def test_a_file_system_without_links(tmp_path, monkeypatch):
  def refuse(*_):
    raise OSError('links are not supported')

  monkeypatch.setattr(writer.os, 'link', refuse)
  builder = builder_class('folder')(make('folder', tmp_path), data_dir=tmp_path / 'prepared')
  builder.write()
  skip = tfds.decode.SkipDecoding()
  assert len(read(builder, {'image': skip, 'mask': skip})) == 8


# Downloads.


@pytest.fixture
def server(tmp_path):
  """(folder, address) of a server of that folder."""

  class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
      pass

  (tmp_path / 'served').mkdir()
  handler = functools.partial(Handler, directory=str(tmp_path / 'served'))
  with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as running:
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield tmp_path / 'served', f'http://127.0.0.1:{running.server_port}'
    running.shutdown()


@pytest.fixture
def archive(server):
  """An archive with one photograph, as VOC's, and what is registered of it."""
  folder, address = server
  with tarfile.open(folder / 'voc.tar', 'w') as tar:
    member = tarfile.TarInfo('VOCdevkit/VOC2012/JPEGImages/2007_000001.jpg')
    member.size = 5
    tar.addfile(member, io.BytesIO(b'photo'))
  data = (folder / 'voc.tar').read_bytes()
  info = UrlInfo(len(data), hashlib.sha256(data).hexdigest(), 'voc.tar')
  return Archive(f'{address}/voc.tar', 'VOCdevkit/VOC2012/JPEGImages'), info


def fetched(archive, info, data):
  with contextlib.redirect_stderr(io.StringIO()):
    return fetch([archive], data, url_infos={archive.url: info})


def test_an_archive_is_fetched_once_and_its_folder_put_in_place(archive, server, tmp_path):
  data = tmp_path / 'VOC2012'
  assert fetched(*archive, data) == [data / 'JPEGImages']
  assert (data / 'JPEGImages' / '2007_000001.jpg').read_bytes() == b'photo'
  (server[0] / 'voc.tar').unlink()
  assert fetched(*archive, data) == []
  # The archive was kept.
  (data / 'JPEGImages').rename(data / 'elsewhere')
  assert fetched(*archive, data) == [data / 'JPEGImages']


def test_two_processes_may_unpack_at_once(archive, server, tmp_path, monkeypatch):
  data, unpack = tmp_path / 'VOC2012', shutil.unpack_archive

  def unpacking(*args, **options):
    unpack(*args, **options)
    assert not (data / 'JPEGImages').exists()
    # Another process begins now, and is done first.
    monkeypatch.setattr(shutil, 'unpack_archive', unpack)
    assert fetched(*archive, data) == [data / 'JPEGImages']

  monkeypatch.setattr(shutil, 'unpack_archive', unpacking)
  assert fetched(*archive, data) == [data / 'JPEGImages']
  assert (data / 'JPEGImages' / '2007_000001.jpg').read_bytes() == b'photo'
  assert sorted(p.name for p in data.iterdir()) == ['JPEGImages', 'downloads']


def test_half_a_folder_is_not_put_in_place(archive, server, tmp_path, monkeypatch):
  def unpacking(path, folder, *_, **__):
    (Path(folder) / archive[0].folder).mkdir(parents=True)
    raise OSError(errno.ENOSPC, 'the disk is full')

  monkeypatch.setattr(shutil, 'unpack_archive', unpacking)
  with refused('the disk is full', error=OSError):
    fetched(*archive, tmp_path / 'VOC2012')
  assert [p.name for p in (tmp_path / 'VOC2012').iterdir()] == ['downloads']


def test_an_archive_put_there_by_hand_is_taken(archive, server, tmp_path):
  (tmp_path / 'VOC2012').mkdir()
  (server[0] / 'voc.tar').rename(tmp_path / 'VOC2012' / 'voc.tar')
  assert len(fetched(*archive, tmp_path / 'VOC2012')) == 1


def test_another_archive_than_the_registered_one_is_refused(archive, server, tmp_path):
  info = UrlInfo(archive[1].size, '0' * 64, 'voc.tar')
  with refused('voc.tar', 'SHA-256'):
    fetched(archive[0], info, tmp_path / 'VOC2012')
  assert not (tmp_path / 'VOC2012' / 'JPEGImages').exists()


def test_an_archive_that_is_not_there_is_named(archive, server, tmp_path):
  (server[0] / 'voc.tar').unlink()
  with refused('voc.tar', 404):
    fetched(*archive, tmp_path / 'VOC2012')


def test_an_archive_without_the_folder_is_refused(archive, tmp_path):
  other = Archive(archive[0].url, 'VOCdevkit/VOC2012/Annotations')
  with refused('VOCdevkit/VOC2012/Annotations'):
    fetched(other, archive[1], tmp_path / 'VOC2012')


def test_every_archive_has_a_checksum_and_every_folder_instructions():
  for name in BUILDERS:
    cls = builder_class(name)
    assert all(archive.url in cls.url_infos for archive in cls.ARCHIVES)
    assert name == 'shapes' or '`data_dir`' in cls.MANUAL_DOWNLOAD_INSTRUCTIONS
