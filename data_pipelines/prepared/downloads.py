"""Fetches what is public through the download manager of TFDS, with checksums.

The sizes and SHA-256s in checksums.tsv are those that tensorflow_datasets registers for the same
files (its url_checksums/voc.txt and coco2014.txt).
"""

import dataclasses
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import requests
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import checksums, download_manager

from data_pipelines.reading.files import AnyPath
from hsnet_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Archive:
  """Names a public archive and what is wanted of it.

  Attributes:
    url: where it is.
    folder: the folder inside it that is wanted, which keeps its last name.
  """

  url: str
  folder: str


def fetch(
  archives: Sequence[Archive],
  data_dir: AnyPath,
  *,
  url_infos: Mapping[str, checksums.UrlInfo],
) -> list[Path]:
  """Fetches and unpacks the archives whose folder is not there yet.

  An archive that somebody has put into `data_dir` by hand is taken from there, if its checksum is
  right. Each is unpacked into a folder of its own, `unpacking-...` in `data_dir`, and what is
  wanted is then put in its place by one rename: other processes may do the same, and half a folder
  is never taken for it. A process that is killed leaves the folder `unpacking-...` behind.

  Args:
    archives: what to fetch.
    data_dir: where the folders go; archives are kept in `downloads` there.
    url_infos: the size and the SHA-256 of each archive.

  Returns:
    The folders that are new.

  Raises:
    InputError: an archive cannot be had, or is another than the registered one.
  """
  data = Path(os.path.expanduser(data_dir))
  missing = [a for a in archives if not (data / Path(a.folder).name).exists()]
  if not missing:
    return []
  data.mkdir(parents=True, exist_ok=True)
  manager = tfds.download.DownloadManager(
    download_dir=data / 'downloads',
    manual_dir=data,
    url_infos=dict(url_infos),
    force_checksums_validation=True,
  )
  new = []
  for archive in missing:
    path = _download(manager, archive.url, data)
    new.append(data / Path(archive.folder).name)
    with tempfile.TemporaryDirectory(prefix='unpacking-', dir=data) as unpacked:
      # TFDS itself unpacks by means of TensorFlow.
      if path.suffix == '.zip':
        shutil.unpack_archive(path, unpacked, 'zip')
      else:
        shutil.unpack_archive(path, unpacked, 'tar', filter='data')
      wanted = Path(unpacked) / archive.folder
      if not wanted.is_dir():
        raise InputError(f'{archive.url}: holds no folder {archive.folder}; fetch it by hand')
      try:
        os.rename(wanted, new[-1])
      except OSError:
        if not new[-1].is_dir():  # Unless another process was first.
          raise
  return new


def _download(manager: tfds.download.DownloadManager, url: str, data: Path) -> Path:
  try:
    return Path(manager.download(url))
  except download_manager.NonMatchingChecksumError as error:
    raise InputError(
      f'{url}: what was fetched has not the registered size and SHA-256; try again, or put the'
      f' right file into {data}'
    ) from error
  except (requests.RequestException, tfds.download.DownloadError) as error:
    raise InputError(
      f'{url}: cannot be fetched ({" ".join(str(error).split())}); try again, or put the file into'
      f' {data}'
    ) from error
