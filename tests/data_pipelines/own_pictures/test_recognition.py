"""Which layout a folder is in, and what is said of exports that are not read."""

import json

import pytest

from data_pipelines.own_pictures.folder import Folder
from tests.facts import refused
from tests.own_pictures import (
  coco_content,
  save_all_labelme,
  save_classes,
  save_coco,
  save_photo,
)

VOC_BOX = '<annotation><folder>x</folder><object><bndbox/></object></annotation>'
CVAT_XML = '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
VIA_HEAD = (
  'filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,'
  'region_attributes\n'
)
SCALE = [{'task_id': '1', 'type': 'imageannotation', 'response': {'annotations': []}}]
STUDIO = [{'id': 1, 'annotations': [{'result': []}], 'data': {'image': '/data/upload/1/a.jpg'}}]
STUDIO_MIN = [{'image': 'a.jpg', 'id': 1, 'annotator': 1, 'annotation_id': 1, 'lead_time': 2.5}]
DARWIN = {'version': '2.0', 'schema_ref': 'darwin.v7', 'item': {'name': 'a.jpg'}, 'annotations': []}
DATUMARO = {'info': {}, 'categories': {'label': {'labels': []}}, 'items': []}
VIA3 = {'project': {}, 'config': {}, 'attribute': {}, 'file': {}, 'metadata': {}, 'view': {}}
BOXES = [{'image': 'a.jpg', 'annotations': [{'label': 'cat', 'coordinates': {'x': 1}}]}]


@pytest.mark.parametrize(
  ('name', 'content', 'facts'),
  [
    ('annotations.xml', CVAT_XML + '<meta/><image id="0" name="a.jpg">', ['CVAT for images']),
    ('annotations.xml', CVAT_XML + '<meta/><track id="0" label="cat">', ['CVAT for video']),
    ('Annotations/a.xml', VOC_BOX, ['Pascal VOC', 'boxes']),
    ('obj.names', 'cat\n', ['Darknet', 'boxes', 'Segmentation']),
    ('train/_darknet.labels', 'cat\n', ['Darknet', 'boxes']),
    ('train/cats.tfrecord', '', ['TFRecord', 'COCO']),
    ('train/_annotations.createml.json', json.dumps(BOXES), ['CreateML', 'COCO']),
    ('a.json', json.dumps(BOXES), ['CreateML', 'COCO']),
    ('train/_classes.csv', 'filename, cat\n', ['Roboflow', 'COCO Segmentation']),
    ('train/_annotations.csv', 'filename,width,height,class,xmin\n', ['boxes', 'COCO']),
    ('labels.csv', 'label_name,bbox_x,bbox_y\n', ['boxes', 'COCO']),
    ('via.csv', VIA_HEAD, ['VIA', 'JSON']),
    ('project.json', json.dumps(VIA3), ['VIA 3', 'COCO']),
    ('project.json', json.dumps(STUDIO), ['Label Studio', 'COCO']),
    ('project.json', json.dumps(STUDIO_MIN), ['Label Studio', 'COCO']),
    ('a.json', json.dumps(DARWIN), ['Darwin', 'COCO']),
    ('annotations/default.json', json.dumps(DATUMARO), ['Datumaro', 'COCO']),
    ('tasks.json', json.dumps(SCALE), ['Scale', 'COCO']),
    ('export.ndjson', '{"data_row": {}}\n', ['Labelbox', 'COCO']),
    ('export.json', json.dumps([{'Labeled Data': 'a', 'Label': {}}]), ['Labelbox', 'COCO']),
    ('label_colors.txt', '250 50 83 cat\n', ['CamVid', 'Segmentation mask']),
    ('vott.json', json.dumps({'assets': {}}), ['VoTT', 'COCO']),
    ('masks/a.png', '', ['masks', 'name_mask.png']),
  ],
)
@pytest.mark.parametrize('around', ['', 'export'])
def test_exports_that_are_not_read_are_named(tmp_path, around, name, content, facts):
  save_photo(tmp_path / around / 'images' / 'a.jpg')
  path = tmp_path / around / name
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(content)
  with refused(tmp_path, *facts):
    Folder(tmp_path)


@pytest.mark.parametrize('depth', ['', 'export', 'archive/export'])
def test_a_folder_around_an_export_makes_no_difference(tmp_path, depth):
  content = coco_content()
  del content['categories'][2]
  save_coco(tmp_path / 'coco' / depth, content)
  save_all_labelme(tmp_path / 'labelme' / depth)
  for kind in ('coco', 'labelme'):
    folder = Folder(tmp_path / kind)
    assert folder.description()['layout'] == kind
    assert folder.load(folder.image_names()[0])[1].any()


def test_masks_of_several_classes_are_no_class_folders(tmp_path):
  """Roboflow's 'Semantic Segmentation Masks': each value is a class, each folder a subset."""
  for name in ('train', 'valid'):
    save_photo(tmp_path / name / 'a.jpg')
    save_photo(tmp_path / name / 'a_mask.png')
    (tmp_path / name / '_classes.csv').write_text('Pixel Value, Class\n0, background\n1, cat\n')
  with refused(tmp_path, 'Roboflow', 'COCO Segmentation'):
    Folder(tmp_path)


def test_a_folder_around_a_class_is_a_class(tmp_path):
  (save_classes(tmp_path / 'own') / 'bee').rename(tmp_path / 'bee')
  assert Folder(tmp_path / 'own').class_names == ('ant', 'cat', 'dog', 'eel')
  for name in ('ant', 'cat', 'dog'):
    (tmp_path / 'own' / name).rename(tmp_path / name)
  assert Folder(tmp_path / 'own').class_names == ('eel',)
