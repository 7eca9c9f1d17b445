"""What is written in another format is the masks, as pycocotools and the project's readers see."""

import pathlib

import numpy as np
import pytest
from PIL import Image, ImageFilter
from pycocotools.coco import COCO

from data_pipelines.own_pictures.folder import Folder
from experiments.evaluation.config import PredictConfig
from experiments.evaluation.prediction.exports import export
from experiments.evaluation.prediction.queries import find_queries
from experiments.evaluation.prediction.report import write_results
from experiments.evaluation.prediction.segmenting import Segmented
from hsnet_jax.errors import InputError
from tests.experiments.evaluation.given import picture

OF = {'command': 'predict', 'step': 3}
KINDS = ('coco', 'labelme', 'yolo', 'voc')


@pytest.fixture
def results(tmp_path):
  """Of a photograph, one on its side, one of a folder and two pages, and of one that is empty."""
  photos = tmp_path / 'photos'
  (photos / 'day').mkdir(parents=True)
  picture(photos / 'a.jpg', size=(40, 31))
  picture(photos / 'side.v2.jpg', size=(29, 50), orientation=6)
  picture(photos / 'day' / 'a.jpg', size=(35, 27))
  picture(photos / 'nothing.png', size=(20, 20))
  pages = [Image.open(picture(tmp_path / f'{i}.png', size=(30 + i, 21))) for i in range(2)]
  pages[0].save(photos / 'scan.tif', save_all=True, append_images=pages[1:])
  queries, _ = find_queries([str(photos)], recursive=True)
  rng, found = np.random.default_rng(0), []
  for query in queries:
    noise = rng.integers(0, 256, size_of_mask(query), np.uint8)
    smooth = np.asarray(Image.fromarray(noise).filter(ImageFilter.GaussianBlur(2)))
    mask = ((smooth > np.median(smooth)) & ('nothing' not in str(query))).astype(np.uint8)
    image = np.zeros((*mask.shape, 3), np.uint8)
    found.append(write_results(Segmented(query, image, mask, 0.75, 0.5), tmp_path / 'out', of=OF))
  return found


def size_of_mask(query):
  with Image.open(query.path) as image:
    image.seek((query.page or 1) - 1)
    width, height = image.size
  return (width, height) if 'side' in str(query) else (height, width)


def mask_of(result):
  with Image.open(result.mask) as image:
    return (np.asarray(image) > 0).astype(np.uint8)


def dilated(mask):
  padded = np.pad(mask, 1)
  height, width = mask.shape
  return np.max([padded[i : i + height, j : j + width] for i in range(3) for j in range(3)], axis=0)


def held(folder):
  return {p: p.read_bytes() for p in folder.rglob('*') if p.is_file()}


@pytest.mark.parametrize('kind, polygons', [*((kind, False) for kind in KINDS), ('coco', True)])
def test_what_is_written_is_read_as_a_folder_to_train_on(results, tmp_path, kind, polygons):
  place = export(results, tmp_path / 'out', kind, of=OF, class_name='No: "1"', polygons=polygons)
  assert place == tmp_path / 'out' / kind
  folder = Folder(place)
  assert folder.class_names == ('No: "1"',)
  expected = {
    result.query.name.as_posix().replace('/', '_'): mask_of(result)
    for result in results
    if result.area
  }
  assert set(expected) == {'a', 'side.v2', 'day_a', 'scan-page1', 'scan-page2'}
  names = {name for name, _ in folder.split(0, 'val').items}
  assert {pathlib.PurePath(name).stem for name in names} == set(expected)
  for name in names:
    image, label = folder.load(name)
    mask = expected[pathlib.PurePath(name).stem]
    assert image.shape[:2] == label.shape
    if kind == 'labelme':
      assert (label <= dilated(mask)).all() and (label >= 1 - dilated(1 - mask)).all()
    else:
      np.testing.assert_array_equal(label, mask)


@pytest.mark.parametrize('polygons', [False, True])
def test_pycocotools_opens_the_file(results, tmp_path, polygons):
  place = export(results, tmp_path / 'out', 'coco', of=OF, polygons=polygons)
  coco = COCO(place / 'annotations' / 'instances.json')
  assert [c['name'] for c in coco.loadCats(coco.getCatIds())] == ['object']
  assert len(coco.getImgIds()) == len(results) and len(coco.getAnnIds()) == len(results) - 1
  for number, result in zip(coco.getImgIds(), results, strict=True):
    (image,) = coco.loadImgs(number)
    assert (place / 'images' / image['file_name']).is_file()
    mask = mask_of(result)
    for annotation in coco.loadAnns(coco.getAnnIds(number)):
      np.testing.assert_array_equal(coco.annToMask(annotation), mask)
      assert annotation['area'] == mask.sum() and annotation['score'] == 0.75
      y, x = np.nonzero(mask)
      box = [x.min(), y.min(), x.max() - x.min() + 1, y.max() - y.min() + 1]
      assert annotation['bbox'] == box and annotation['iscrowd'] == 0


def test_labels_of_voc_have_pascals_colors(results, tmp_path):
  place = export(results, tmp_path / 'out', 'voc', of=OF)
  with Image.open(place / 'SegmentationClass' / 'a.png') as image:
    assert image.mode == 'P'
    np.testing.assert_array_equal(np.asarray(image), mask_of(results[0]))
    assert image.getpalette()[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]
    assert image.getpalette()[-3:] == [224, 224, 192]


FILES = {
  'coco': 'annotations/instances.json',
  'labelme': 'a.json',
  'yolo': 'labels/a.txt',
  'voc': 'SegmentationClass/a.png',
}


@pytest.mark.parametrize('kind', KINDS)
def test_an_export_replaces_its_own_alone(results, tmp_path, kind):
  out = tmp_path / 'out'
  place = export(results[:-1], out, kind, of=OF)
  assert export(results, out, kind, of=OF) == place
  first = held(place)
  assert export(results, out, kind, of=OF) == place and held(place) == first
  file = place / FILES[kind]
  data = file.read_bytes()
  file.unlink()
  assert export(results, out, kind, of=OF) == place and held(place) == first
  file.write_bytes(b'mine')
  assert export(results, out, kind, of=OF) == out / f'{kind}-2'
  assert file.read_bytes() == b'mine' and (out / f'{kind}-2' / FILES[kind]).read_bytes() == data


@pytest.mark.parametrize('kind', KINDS)
def test_what_was_written_and_not_marked_any_more_is_ones_own(results, tmp_path, kind):
  """As where a process was killed: marks are written before copies, and after all."""
  out = tmp_path / 'out'
  place = export(results[:1], out, kind, of=OF)
  early = (place / '.hsnet-results.json').read_bytes()
  export(results, out, kind, of=OF)
  first = held(place)
  (place / '.hsnet-results.json').write_bytes(early)
  assert export(results, out, kind, of=OF) == place and held(place) == first


def test_a_folder_of_someone_elses_stays(results, tmp_path):
  out = tmp_path / 'out'
  (out / 'yolo').mkdir()
  (out / 'yolo' / 'notes.txt').write_text('mine')
  assert export(results, out, 'yolo', of=OF) == out / 'yolo-2'
  assert [p.name for p in (out / 'yolo').iterdir()] == ['notes.txt']


def test_exports_are_no_queries(results, tmp_path):
  photos = tmp_path / 'photos'
  before, _ = find_queries([str(photos)], recursive=True)
  for kind in KINDS:
    export(results, photos, kind, of=OF)
  after, left = find_queries([str(photos)], recursive=True)
  assert after == before and 'exports: 4' in str(left)


@pytest.mark.parametrize('name', ['', ' a', 'a\nb', '_background_', 'Background', '__ignore__'])
def test_a_class_has_a_name_that_is_one(name):
  with pytest.raises(InputError, match='`class_name`'):
    PredictConfig(class_name=name)


def test_formats_are_those_there_are():
  with pytest.raises(InputError, match='`formats`=cvat'):
    PredictConfig(formats=('coco', 'cvat'))
