"""The card, and the way to the Hub and back, over an object in the Hub's place."""

import json
import pathlib
import re
import shutil

import huggingface_hub
import pytest
import yaml

from experiments.model_zoo import (
  add_model,
  find_model,
  list_models,
  model_card,
  pull_model,
  push_model,
)
from experiments.model_zoo.hub import CARD, MODEL, RECORD
from experiments.model_zoo.store import path_of
from hsnet_jax import InputError, load_model
from hsnet_jax.weights import write_model
from tests.experiments.model_zoo.given import EVALUATION, entry_of, put
from tests.made import variables


class Hub:
  """Folders in place of repositories, by the methods of `huggingface_hub.HfApi` that are used."""

  def __init__(self, folder):
    self.folder, self.private, self.commits = folder, {}, []

  def repo_exists(self, repo_id):
    return (self.folder / repo_id).is_dir()

  def list_repo_files(self, repo_id):
    return [path.name for path in (self.folder / repo_id).iterdir()]

  def create_repo(self, repo_id, *, private, exist_ok):
    (self.folder / repo_id).mkdir(parents=True, exist_ok=exist_ok)
    self.private[repo_id] = private

  def upload_folder(self, *, repo_id, folder_path, commit_message):
    shutil.copytree(folder_path, self.folder / repo_id, dirs_exist_ok=True)
    self.commits.append(commit_message)

  def hf_hub_download(self, repo_id, filename):
    path = self.folder / repo_id / filename
    if not path.exists():
      raise huggingface_hub.errors.EntryNotFoundError(f'404: {filename}\nand more')
    return str(path)


class Unreachable:
  """Fails as the Hub does where there is none."""

  def __getattr__(self, name):
    def fail(*args, **kwargs):
      raise huggingface_hub.errors.OfflineModeIsEnabled('offline mode is enabled\nand more')

    return fail


@pytest.fixture
def zoo(tmp_path):
  write_model(tmp_path / 'a.safetensors', variables('tiny'), config={'backbone': 'tiny', 'fold': 2})
  folder = tmp_path / 'zoo'
  add_model(folder, 'dogs', tmp_path / 'a.safetensors', license='mit', limits='cats')
  return folder


@pytest.fixture
def hub(tmp_path):
  return Hub(tmp_path / 'hub')


def test_the_methods_that_are_used_are_those_of_the_library():
  for name in vars(Hub):
    if not name.startswith('_'):
      assert callable(getattr(huggingface_hub.HfApi, name))


def test_a_model_goes_to_the_hub_and_back(tmp_path, zoo, hub):
  page = push_model(zoo, 'dogs', repo='user/dogs', api=hub)
  entry = find_model(zoo, 'dogs')
  assert page == 'https://huggingface.co/user/dogs' and hub.private == {'user/dogs': True}
  assert sorted(hub.list_repo_files('user/dogs')) == sorted([MODEL, RECORD, CARD])
  assert entry.checksum[:12] in hub.commits[0]
  again = pull_model(tmp_path / 'other', 'hounds', repo='user/dogs', api=hub)
  assert again == find_model(tmp_path / 'other', 'hounds')
  assert (again.checksum, again.license, again.limits) == (entry.checksum, 'mit', 'cats')
  assert (again.fold, again.backbone) == (2, 'tiny') and 'user/dogs' in again.source
  assert load_model(path_of(tmp_path / 'other', again)).config == entry.config


def test_a_repository_is_public_only_where_that_is_asked(zoo, hub):
  push_model(zoo, 'photos', repo='user/photos', public=True, api=hub)
  assert hub.private == {'user/photos': False}
  assert pull_model(zoo, 'mine', repo='user/photos', api=hub).config['image_size'] == 320


def test_what_no_zoo_wrote_is_not_replaced(zoo, hub):
  theirs = hub.folder / 'user' / 'dogs'
  theirs.mkdir(parents=True)
  (theirs / '.gitattributes').touch()
  push_model(zoo, 'dogs', repo='user/dogs', api=hub)
  push_model(zoo, 'photos', repo='user/dogs', api=hub)
  (theirs / RECORD).unlink()
  with pytest.raises(InputError, match='user/dogs: holds files that no zoo wrote'):
    push_model(zoo, 'dogs', repo='user/dogs', api=hub)
  assert len(hub.commits) == 2


def test_a_changed_file_is_not_pushed(zoo, hub):
  path_of(zoo, find_model(zoo, 'dogs')).write_bytes(b'other')
  with pytest.raises(InputError, match='dogs: .*has changed'):
    push_model(zoo, 'dogs', repo='user/dogs', api=hub)
  assert not hub.folder.exists()


@pytest.mark.parametrize(
  'file, content, words',
  [
    (MODEL, b'other', 'model.safetensors is not the file that its entry is of'),
    (RECORD, b'{"name": "dogs"', 'no entry of a model'),
    (RECORD, b'\xff', 'no entry of a model'),
    (RECORD, b'{"name": "dogs"}', 'user/dogs/zoo.json: `backbone` is missing'),
    (RECORD, None, '404: zoo.json'),
    (MODEL, None, '404: model.safetensors'),
  ],
)
def test_what_comes_is_checked_before_it_is_added(tmp_path, zoo, hub, file, content, words):
  push_model(zoo, 'dogs', repo='user/dogs', api=hub)
  path = hub.folder / 'user' / 'dogs' / file
  path.unlink()
  if content is not None:
    path.write_bytes(content)
  with pytest.raises(InputError, match=words) as error:
    pull_model(tmp_path / 'other', 'dogs', repo='user/dogs', api=hub)
  assert '\n' not in str(error.value)
  assert [one.name for one in list_models(tmp_path / 'other')] == ['photos']


def test_what_a_stranger_writes_is_shown_on_one_line_or_refused(tmp_path, zoo, hub):
  push_model(zoo, 'dogs', repo='user/dogs', api=hub)
  record = hub.folder / 'user' / 'dogs' / RECORD
  values = json.loads(record.read_text())
  record.write_text(json.dumps({**values, 'license': 'mit\x1b[2J'}))
  with pytest.raises(InputError, match='`license` must be one line'):
    pull_model(tmp_path / 'other', 'dogs', repo='user/dogs', api=hub)
  strange = [{'figures': {'miou': 'all'}}, {'fold': [], 'figures': {'miou': 50}}, {}]
  record.write_text(json.dumps({**values, 'evaluations': strange, 'name': '../x', 'fold': 9}))
  entry = pull_model(tmp_path / 'other', 'dogs', repo='user/dogs', api=hub)
  assert (entry.name, entry.fold, entry.evaluations) == ('dogs', 2, ({'figures': {'miou': 50}},))


def test_out_of_reach_says_what_still_works(tmp_path, zoo):
  for use in (push_model, pull_model):
    with pytest.raises(InputError, match='user/dogs: could not .*offline') as error:
      use(zoo if use is push_model else tmp_path, 'dogs', repo='user/dogs', api=Unreachable())
    message = str(error.value)
    assert 'the models of the zoo are here' in message and '\n' not in message
  for repo in ('', 'dogs', '/dogs', 'a/b/c'):
    with pytest.raises(InputError, match='`repo` must be USER/NAME'):
      push_model(zoo, 'dogs', repo=repo, api=Unreachable())


def parts(card):
  """The metadata of a card, and its text."""
  found = re.fullmatch(r'---\n(.*?)\n---\n(.*)', card, re.DOTALL)
  return yaml.safe_load(found[1]), found[2]


def test_a_card_says_what_a_model_reaches_and_what_not():
  entry = entry_of(b'x', evaluations=(EVALUATION,), license='mit', limits='cats | and *dogs*')
  card = model_card(entry, repo='user/dogs')
  metadata, text = parts(card)
  assert metadata['license'] == 'mit' and metadata['library_name'] == 'hsnet_jax'
  assert {'few-shot-segmentation', 'tiny', 'shapes'} <= set(metadata['tags'])
  assert '| mIoU | 60.25 |' in text and '58.5 to 62.0' in text
  assert 'chosen on these very test episodes' in text
  limits = text.partition('## What it is bad at')[2].partition('## Recipe')[0]
  assert 'cats \\| and \\*dogs\\*' in limits
  assert 'cup\\|mug 44.2, fish 66.0' in limits and 'IoU 12.5' in limits
  assert '| learning_rate | 0.001 |' in text
  assert entry.checksum in text and '--repo=user/dogs' in text
  # As the Hub's own library reads it.
  data = huggingface_hub.ModelCard(card).data
  assert [(one.metric_type, one.metric_value) for one in data.eval_results] == [
    ('miou', 60.25),
    ('fb_iou', 76.5),
  ]


def test_a_card_does_not_claim_what_is_not_known():
  metadata, text = parts(model_card(entry_of(b'x', benchmark=None), repo='user/dogs'))
  assert 'license' not in metadata and 'model-index' not in metadata
  assert 'Nothing that it reaches is measured' in text and 'not stated' in text
  assert 'No figure says what to expect' in text
  own = entry_of(b'x', license='My own', evaluations=({'figures': {'auc': 90.0}},))
  metadata, text = parts(model_card(own, repo='user/dogs'))
  assert (metadata['license'], metadata['license_name']) == ('other', 'My own')
  assert 'have no interval' in text and 'model-index' not in metadata


def test_a_text_cannot_leave_its_place_in_a_card():
  evil = 'x"\n---\nlicense: mit | <script> [a](b) `c`'
  entry = entry_of(b'x', config={'backbone': 'tiny', 'note': evil, 'more': {'a|b': [1]}})
  metadata, text = parts(model_card(entry, repo='user/dogs'))
  assert 'license' not in metadata and '<script>' not in text.replace('\\<', '')
  rows = text.partition('| setting | value |')[2].strip().splitlines()
  assert len(rows) == 4
  assert all(len(re.findall(r'(?<!\\)\|', row)) == 3 for row in rows)


def test_nothing_of_a_disk_is_in_a_card(tmp_path, zoo):
  text = model_card(find_model(zoo, 'dogs'), repo='user/dogs')
  assert str(tmp_path) not in text and str(pathlib.Path.home()) not in text


def test_the_example_of_a_card_names_the_model(tmp_path):
  put(tmp_path, 'hounds')
  assert "from_pretrained('hounds')" in model_card(find_model(tmp_path, 'hounds'), repo='u/r')
