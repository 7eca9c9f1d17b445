"""The page of a report: all numbers are on it, nothing is loaded, and what is refused."""

import dataclasses
import html.parser
import json
import pathlib
import re

import pytest

from experiments.reporting.page import PageConfig, write_page
from hsnet_jax.errors import InputError
from tests.experiments.reporting.page.made import NAMES, evaluation, figures, run, small

VOID = {'meta', 'link', 'img', 'br'}


class Parsed(html.parser.HTMLParser):
  """Reads a page: its text, its elements, and whether each is closed where it was opened."""

  def __init__(self, text):
    super().__init__()
    self.open, self.elements, self.text, self.tables = [], [], [], []
    self.feed(text)
    self.close()
    assert self.open == []
    self.words = ' '.join(' '.join(self.text).split())

  def handle_starttag(self, tag, attrs):
    self.elements.append((tag, dict(attrs)))
    if tag not in VOID:
      self.open.append(tag)

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    if 'style' not in self.open:
      self.text.append(data)

  def of(self, tag):
    return [attrs for name, attrs in self.elements if name == tag]


def page(folders, tmp_path, **options):
  config = PageConfig(results=tuple(folders), output_dir=str(tmp_path / 'out'), **options)
  files = write_page(config)
  assert all(path.is_file() for path in files)
  return Parsed(files[0].read_text('utf-8')), files


@pytest.fixture(scope='module')
def made(tmp_path_factory):
  """The page of a run and of three evaluations, two of one fold, and its files."""
  folder = tmp_path_factory.mktemp('page')
  inside = run(folder / 'r')
  evaluation(folder / 'r' / 'evaluation' / 'best', absent=0.5)
  others = [evaluation(folder / name, seed=k, absent=0.5) for k, name in ((1, 's1'), (2, 's2'))]
  return page([inside, *others], folder)


def shown(figures):
  """The texts of all numbers of a column, as the page writes them."""
  for name, value in figures.items():
    if name.endswith('episodes'):
      yield from map(str, value.values())
    elif name in ('reliability', 'risk_coverage'):
      for line in value:
        for key, number in line.items():
          if number is not None:
            yield {'pixels': f'{number:.0f}', 'score': f'{number:.4f}'}.get(key, f'{number:.2f}')
    elif isinstance(value, dict):
      for one in value.values():
        yield ' to '.join(f'{x:.1f}' for x in one) if isinstance(one, list) else f'{one:.2f}'
    elif isinstance(value, list):
      yield ' to '.join(f'{x:.1f}' for x in value)
    elif value is not None:
      yield f'{value:.4f}' if name == 'auc_error' else f'{value:.2f}'


@pytest.mark.parametrize('seed', [0, 1, 2, 100, 101, 102])
def test_every_number_of_the_results_is_there(made, seed):
  parsed, _ = made
  texts = list(shown(figures(seed, absent=True)))
  assert len(texts) > 30
  assert not [text for text in texts if text not in parsed.words]


def test_nothing_is_loaded_from_elsewhere(made):
  parsed, files = made
  for _, attrs in parsed.elements:
    for name in ('src', 'href', 'action', 'data', 'srcset', 'poster', 'background'):
      assert re.match(r'data:|#', attrs.get(name) or '#'), attrs
  text = files[0].read_text('utf-8')
  assert not re.search(r'@import|url\(|https?:', re.sub(r'base64,[\w+/=]+', '', text))
  (policy,) = [m['content'] for m in parsed.of('meta') if 'http-equiv' in m]
  assert policy.startswith("default-src 'none'") and not parsed.of('script')


def test_it_is_read_by_a_screen_reader_and_on_a_telephone(made):
  parsed, _ = made
  assert parsed.of('html') == [{'lang': 'en'}] and len(parsed.of('main')) == 1
  assert 'width=device-width' in next(m['content'] for m in parsed.of('meta') if 'name' in m)
  pictures = parsed.of('img')
  assert len(pictures) >= 12 and all(len(picture['alt']) > 30 for picture in pictures)
  headings = [int(tag[1]) for tag, _ in parsed.elements if re.fullmatch('h[1-6]', tag)]
  assert headings[0] == 1 and headings.count(1) == 1
  assert all(b - a <= 1 for a, b in zip(headings, headings[1:], strict=False))
  tables = len(parsed.of('table'))
  assert tables == len(parsed.of('caption')) == len(parsed.of('thead'))
  assert all(head.get('scope') in ('col', 'row') for head in parsed.of('th'))
  ids = [attrs['id'] for _, attrs in parsed.elements if 'id' in attrs]
  assert len(ids) == len(set(ids))
  assert {a['href'] for a in parsed.of('a')} <= {f'#{name}' for name in ids}


def test_its_parts_are_there(made):
  parsed, files = made
  titles = ('Results', 'Training', 'Classes', 'Paired comparison', 'Episodes', 'Settings')
  assert all(title in parsed.words for title in titles)
  assert NAMES[1] in parsed.words, 'as words, not as a tag'
  assert 'line 0 <&>' in parsed.words and 'line 15' not in parsed.words, 'of a log the ends'
  assert '41.23' in parsed.words and '0123456789ab' in parsed.words
  command = "python -m experiments.evaluate '--checkpoint=runs/a b/checkpoints/best' --model=hsnet"
  assert command in parsed.words and '--absent=0.5' in parsed.words
  drawn = {path.stem for path in files if path.parent.name == 'figures'}
  assert drawn == {*('curves', 'classes', 'sizes', 'size-scatter', 'reliability', 'risk-coverage')}
  assert {path.suffix for path in files if path.parent.name == 'figures'} == {'.png', '.svg'}
  assert {path.suffix for path in files if path.parent.name == 'tables'} == {'.csv', '.md', '.tex'}


def test_results_of_an_earlier_version_have_what_they_have(tmp_path):
  parsed, files = page([small(tmp_path / 'old')], tmp_path)
  assert '48.39' in parsed.words
  assert {path.stem for path in files if path.suffix == '.svg'} == {'classes'}


def test_published_rows_of_the_same_are_beside_ours_with_the_difference(tmp_path):
  folds = []
  for fold in range(4):
    columns = {'all 40': {'miou': 60.0 + fold, 'fb_iou': 70.0, 'class_iou': {'dog': 60.0}}}
    folds.append(small(tmp_path / f'f{fold}', columns=columns, fold=fold))
  _, files = page(folds, tmp_path)
  text = next(p for p in files if p.name == 'results-pascal.md').read_text()
  ours, published = [line for line in text.splitlines() if 'resnet50' in line]
  assert ours.endswith('| 60.00 | 61.00 | 62.00 | 63.00 | 61.50 | 70.00 |')
  assert 'HSNet, published' in published
  assert published.endswith('| 64.3 | 70.7 | 60.3 | 60.5 | 64.0 | 76.7 |')
  assert 'arXiv:2104.01538, Table 1' in text and '40 episodes, where the paper has 1000' in text
  text = next(p for p in files if p.name == 'published-pascal.md').read_text()
  (line,) = [line for line in text.splitlines() if 'HSNet, resnet50' in line]
  assert line.endswith('| yes | -4.3 | -9.7 | +1.7 | +2.5 | -2.5 | -6.7 |')


def test_two_of_one_fold_are_no_one_line_and_other_episodes_are_not_as_published(tmp_path):
  folders = [
    small(tmp_path / name, protocol='distinct', fold=fold)
    for name, fold in (('a', 0), ('b', 1), ('c', 1))
  ]
  parsed, files = page(folders, tmp_path)
  text = next(p for p in files if p.name == 'results-pascal.csv').read_text()
  assert [line.split(',')[0] for line in text.splitlines()[1:]] == ['a', 'b', 'c']
  assert 'HSNet' not in parsed.words and not [p for p in files if 'published' in p.name]


def test_pairs_are_of_the_same_episodes(made, tmp_path):
  _, files = made
  text = next(p for p in files if p.name == 'differences.csv').read_text()
  lines = [line.split(',') for line in text.splitlines()]
  assert len(lines) == 1 + 3 * (1 + len(NAMES))
  for line in lines[1:]:
    first, second, difference, low, high = map(float, line[-5:])
    assert difference == pytest.approx(first - second) and low <= high
  alone = [evaluation(tmp_path / 'a')]
  fewer = pathlib.Path(evaluation(tmp_path / 'b'))
  rows = (fewer / 'episodes.csv').read_text().splitlines(keepends=True)
  (fewer / 'episodes.csv').write_text(''.join(rows[:20]))
  parsed, files = page([*alone, str(fewer)], tmp_path)
  assert 'none are compared' in parsed.words
  assert not [path for path in files if path.stem == 'differences']


@pytest.mark.parametrize(
  'other', [{'protocol': 'distinct'}, {'absent': 0.5}, {'original_size': True}]
)
def test_protocols_are_not_mixed_unless_asked_for(tmp_path, other):
  folders = [small(tmp_path / 'a'), small(tmp_path / 'b', **other)]
  with pytest.raises(InputError, match=f'{folders[0]} .*{folders[1]} .*`mix`'):
    page(folders, tmp_path)
  assert not (tmp_path / 'out').exists()
  parsed, _ = page(folders, tmp_path, mix=True)
  assert 'Tables mix protocols' in parsed.words


def changed(**changes):
  def change(folder):
    path = folder / 'results.json'
    record = json.loads(path.read_text())
    column = record['results']['all 40']
    column |= changes
    path.write_text(json.dumps(record))

  return change


def emptied(name):
  return lambda folder: (folder / name).write_text('')


@pytest.mark.parametrize(
  'change, words',
  [
    (changed(miou=None), 'mIoU is no number'),
    (changed(fb_iou=float('nan')), 'NaN'),
    (changed(miou='high'), 'results.json: is no'),
    (changed(class_iou=[1]), 'results.json: is no'),
    (changed(miou_interval=[1]), 'results.json: is no'),
    (changed(reliability=[{'from': 0}]), 'results.json: is no'),
    (changed(auc=10**400), 'results.json: is no'),
    (emptied('results.json'), 'results.json: is no'),
    (emptied('episodes.csv'), 'episodes.csv: has no episode'),
    (emptied('extremes.png'), 'extremes.png: is no sound picture'),
    (lambda folder: (folder / 'results.json').unlink(), 'neither results.json nor metrics.jsonl'),
  ],
)
def test_a_folder_that_holds_no_results_is_named(tmp_path, change, words):
  folders = [evaluation(tmp_path / 'good'), evaluation(tmp_path / 'bad')]
  change(tmp_path / 'bad')
  with pytest.raises(InputError, match=f'{folders[1]}.*{words}') as caught:
    page(folders, tmp_path)
  assert '\n' not in str(caught.value) and not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
  'lines, words',
  [
    ([], 'no figure yet'),
    ([{'step': 3, 'train/loss': None}], 'train/loss at step 3'),
    ([{'step': 3, 'val/miou': float('nan')}], 'val/miou at step 3'),
  ],
)
def test_a_run_that_failed_is_named(tmp_path, lines, words):
  folder = run(tmp_path / 'r', lines=lines)
  with pytest.raises(InputError, match=f'{folder}.*{words}'):
    page([folder], tmp_path)


def test_nothing_given_and_nothing_there(tmp_path):
  with pytest.raises(InputError, match='`results` is missing'):
    page([], tmp_path)
  with pytest.raises(InputError, match='nowhere: is no folder'):
    page([str(tmp_path / 'nowhere')], tmp_path)


def test_a_run_without_an_epoch_shows_its_running_loss(tmp_path):
  folder = run(tmp_path / 'r', lines=[{'step': 1, 'train/running_loss': 0.5}], log=False)
  _, files = page([folder], tmp_path)
  assert {path.stem for path in files if path.suffix == '.svg'} == {'curves'}


def test_folders_of_one_name_are_told_apart(tmp_path):
  folders = [run(tmp_path / name) for name in ('a', 'b')]
  for folder in folders:
    small(pathlib.Path(folder) / 'evaluation' / 'best')
  folders.append(folders[0])  # Once is enough.
  _, files = page(folders, tmp_path)
  text = next(p for p in files if p.name == 'figures.csv').read_text()
  assert [line.split(',')[0] for line in text.splitlines()[1:]] == ['a/best', 'b/best']


def test_many_classes_are_rows_and_many_columns_are_shown_in_parts(tmp_path):
  names = [f'class{i}' for i in range(30)]
  columns = {'all 40': {'miou': 50.0, 'class_iou': {n: 20.0 + i for i, n in enumerate(names)}}}
  folders = [small(tmp_path / f'e{i}', columns=columns) for i in range(11)]
  parsed, files = page(folders, tmp_path)
  text = next(p for p in files if p.name == 'classes-pascal-fold0.csv').read_text()
  assert len(text.splitlines()) == 31 and len(text.splitlines()[0].split(',')) == 12
  assert 'IoU of each class of pascal, fold 0, in percent (part 2 of 2)' in parsed.words


def test_the_same_folders_take_their_place_and_others_do_not(tmp_path):
  first, second = (small(tmp_path / name) for name in 'ab')
  out = tmp_path / 'out'
  _, files = page([first], tmp_path)
  before = {path: path.read_bytes() for path in files}
  _, again = page([first], tmp_path)
  assert again == files and {path: path.read_bytes() for path in again} == before
  _, others = page([first, second], tmp_path)
  assert others[0] == tmp_path / 'out-2' / 'report.html'
  (out / 'tables' / 'figures.md').write_text('checked by Ann')
  _, beside = page([first], tmp_path)
  assert beside[0] == tmp_path / 'out-3' / 'report.html'
  assert (out / 'tables' / 'figures.md').read_text() == 'checked by Ann'


def test_it_goes_beside_one_folder_and_among_the_runs_of_several(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  folders = [small(tmp_path / 'e'), run(tmp_path / 'r')]
  config = PageConfig(results=(folders[0],))
  assert write_page(config)[0] == tmp_path / 'e-report' / 'report.html'
  several = write_page(dataclasses.replace(config, results=tuple(folders)))
  assert several[0] == pathlib.Path('runs/report/report.html')


def test_what_is_not_as_published_is_said(tmp_path):
  own = {'support_margin': 0.0, 'combine': 'mean', 'test_classes': 'left_out'}
  folders = [
    small(tmp_path / 'a', **own, drawn_masks=['val2014']),
    small(tmp_path / 'b', fold=1, drawn_masks=[]),
  ]
  text = page(folders, tmp_path)[0].words
  for words in ('a margin of 0.0', 'combined by mean', 'masks of val2014'):
    (before,) = text.split(words)[:-1]
    assert before.rpartition('Of ')[2].startswith('a:')
  assert '`test_classes`=left_out' in text and 'Of b: several' not in text
