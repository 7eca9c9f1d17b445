"""One network by several protocols, in one table."""

import csv
import dataclasses
import json

import pytest

from experiments.evaluation import EvaluateConfig, evaluate, evaluate_protocols
from experiments.evaluation.protocols import side_by_side
from experiments.evaluation.protocols.side_by_side import protocol_config
from experiments.reporting.page.reading import read_all
from hsnet_jax.checkpoints import save_checkpoint
from tests.experiments.evaluation.conftest import CONFIG
from tests.facts import refused
from tests.made import variables


@pytest.fixture
def coco_trained(tmp_path):
  """A checkpoint that says that COCO without its fold 1 was trained on: no bicycle."""
  path = tmp_path / 'coco_trained'
  save_checkpoint(path, variables('tiny'), config={**CONFIG, 'benchmark': 'coco'}, step=3)
  return path


@pytest.fixture
def settings(coco_trained, voc, tmp_path):
  """On the made photographs of fold 0, which show aeroplanes and bicycles."""
  return EvaluateConfig(
    checkpoint=str(coco_trained),
    benchmark='pascal',
    data_dir=str(voc),
    splits_dir=f'{voc}/lists',
    fold=0,
    episodes=4,
    model='mean_foreground',
    image_size=32,
    batch_size=4,
    pictures=0,
    output_dir=str(tmp_path / 'out'),
    protocols=('published', 'distinct', 'absent', 'cross'),
  )


def test_protocols_are_laid_side_by_side(settings, tmp_path, capsys, monkeypatch):
  asked = []
  monkeypatch.setattr(side_by_side, 'evaluate', lambda c: asked.append(c) or evaluate(c))
  reports = evaluate_protocols(settings)
  # With one shot distinct episodes are the published ones: three evaluations for four columns.
  assert len(asked) == 3 and list(reports) == list(settings.protocols)
  assert reports['distinct'] is reports['published']
  assert reports['absent'].about['absent'] == 0.5
  about = reports['cross'].about
  assert about['protocol'] == 'cross' and about['trained_on'] == 'coco fold 1'
  assert 'aeroplane' in about['left_out'] and 'bicycle' not in about['left_out']
  assert reports['published'].figures['class_iou'].keys() == {
    *('aeroplane', 'bicycle', 'bird', 'boat', 'bottle')
  }
  assert reports['cross'].figures['class_iou'].keys() == {'bicycle'}
  out = tmp_path / 'out'
  record = json.loads((out / 'protocols.json').read_text())['protocols']
  assert list(record) == list(settings.protocols)
  for name, one in record.items():
    assert one['results'] == json.loads(json.dumps(reports[name].figures).replace('NaN', 'null'))
  lines = list(csv.DictReader((out / 'protocols.csv').read_text().splitlines()))
  assert {line['column'] for line in lines} == set(settings.protocols)
  low = [line for line in lines if line['figure'] == 'miou_low' and line['column'] == 'absent']
  assert float(low[0]['value']) == reports['absent'].figures['miou_interval'][0]
  said, table = capsys.readouterr().out, (out / 'protocols.md').read_text()
  for text in (said, table):
    assert 'cross: 4 episodes; trained on coco fold 1, left out aeroplane' in text
    assert 'distinct: 4 episodes; one shot' in text and '95% interval' in text
  assert (out / 'cross' / 'episodes.csv').exists() and not (out / 'distinct').exists()
  # The same again takes its own place; what is other, a place of its own.
  evaluate_protocols(dataclasses.replace(settings, protocols=('published', 'cross')))
  evaluate_protocols(settings)
  assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith('out')) == ['out', 'out-2']
  # A report of them says which is of which protocol, or refuses to mix them.
  folders = [str(out / name) for name in ('published', 'cross')]
  with refused('published', 'cross', '`mix`'):
    read_all(folders, mix=False)
  assert [one.protocol for one in read_all(folders, mix=True)[0]] == ['published', 'cross']


def test_what_each_protocol_changes(settings):
  plain = dataclasses.replace(settings, protocols=(), output_dir=None, shots=5)
  several = dataclasses.replace(plain, protocols=settings.protocols, absent=0.25)
  assert protocol_config(several, 'published') == plain
  assert protocol_config(several, 'distinct') == dataclasses.replace(plain, protocol='distinct')
  assert protocol_config(several, 'absent') == dataclasses.replace(plain, absent=0.25)
  assert protocol_config(several, 'cross') == dataclasses.replace(plain, protocol='cross')


@pytest.mark.parametrize(
  'changes, facts',
  [
    ({'protocols': ('strict',)}, ['`protocols`=strict', 'published, distinct, cross, absent']),
    ({'protocols': (), 'protocol': 'absent'}, ['`protocol`=absent']),
    ({'protocol': 'distinct'}, ['`protocols`', 'leave out `protocol`']),
    ({'protocols': ('published',), 'absent': 0.5}, ['`absent`', '`protocols`']),
    ({'checkpoint': None, 'model': 'disc'}, ['`protocol`=cross', '`checkpoint`']),
  ],
  ids=str,
)
def test_settings_that_do_not_fit(settings, changes, facts):
  with refused(*facts):
    dataclasses.replace(settings, **changes)


def test_no_protocol_is_named(settings):
  with refused('`protocols`'):
    evaluate_protocols(dataclasses.replace(settings, protocols=()))


def test_nothing_is_left_to_test_on(settings, tmp_path):
  """COCO's fold 2 trains on all of PASCAL's fold 2; and its own benchmark is no other one."""
  for recorded, facts in (
    ({'benchmark': 'coco', 'fold': 2}, ['pascal fold 2', 'every class', '`fold`']),
    ({'benchmark': 'pascal', 'fold': 0}, ['pascal', '`benchmark`']),
  ):
    path = tmp_path / recorded['benchmark']
    save_checkpoint(path, variables('tiny'), config={**CONFIG, **recorded})
    own = {'protocols': (), 'protocol': 'cross', 'fold': 2, 'checkpoint': str(path)}
    with refused(*facts):
      evaluate(dataclasses.replace(settings, **own))
  assert not (tmp_path / 'out').exists()


def test_what_a_protocol_cannot_test_is_said_before_any_is_evaluated(settings, tmp_path):
  own = tmp_path / 'pascal'
  save_checkpoint(own, variables('tiny'), config={**CONFIG, 'benchmark': 'pascal', 'fold': 0})
  with refused('`protocol`=cross', 'pascal', '`benchmark`'):
    evaluate_protocols(dataclasses.replace(settings, checkpoint=str(own)))
  with refused('50 others as support'):
    changes = {'protocols': ('published', 'distinct'), 'shots': 50}
    evaluate_protocols(dataclasses.replace(settings, **changes))
  assert not (tmp_path / 'out').exists()


def test_one_class_alone_cannot_be_absent(settings, tmp_path):
  """Bicycles are left, and no picture of anything else."""
  own = {'protocols': (), 'protocol': 'cross', 'absent': 0.5}
  with refused('`absent`', 'the only one'):
    evaluate(dataclasses.replace(settings, **own))
  assert not (tmp_path / 'out').exists()


def test_lists_of_the_checkpoint_alone(settings, tmp_path, shared):
  """FSS-1000 has the names of its classes in lists, what is tested on here has none."""
  path = tmp_path / 'fss'
  save_checkpoint(path, variables('tiny'), config={**CONFIG, 'benchmark': 'fss', 'fold': 0})
  own = {'protocols': (), 'protocol': 'cross', 'checkpoint': str(path), 'benchmark': 'shapes'}
  lists = {'data_dir': None, 'splits_dir': str(shared / 'splits')}
  report = evaluate(dataclasses.replace(settings, **own, **lists))
  assert report.about['benchmark'] == 'shapes' and report.about['trained_on'] == 'fss fold 0'
  with refused('fss', '`splits_dir`'):
    evaluate(dataclasses.replace(settings, **own, data_dir=None, splits_dir=None))
