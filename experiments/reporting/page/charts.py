"""Draws figures of results: told apart by line, marker and hatch as well as by color."""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.reporting.page.layout import shares
from experiments.reporting.page.reading import Result, Run
from experiments.reporting.paired import Counted

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure

# Okabe and Ito's colors, which people of any color vision tell apart, without the yellow that is
# none on paper.
_COLORS = ('#000000', '#0072B2', '#D55E00', '#009E73', '#CC79A7', '#56B4E9', '#E69F00')
_LINES: tuple[Any, ...] = ('-', '--', '-.', ':', (0, (6, 1, 1, 1, 1, 1)), (0, (3, 3)))
_MARKERS = 'os^DvPX*'
_HATCHES = ('', '////', '....', 'xxxx', '----', '++++')
_WIDTH = 6.0  # Inches: on a telephone letters are still read.
_MOST_BARS = 60
_RIGHT = 'what it should be'
SIZES = {
  'iou_under_1': 'below 1%',
  'iou_1_to_5': '1 to 5%',
  'iou_5_to_20': '5 to 20%',
  'iou_over_20': 'over 20%',
}
# Edges of the bins of a scatter's medians, in percent of the query.
_SHARES = (0.1, 0.3, 1, 3, 10, 30, 100)
_EDGES = np.array([0, 0.5, 1, 2, 5, 10, 20, 40, 100.0])


@dataclasses.dataclass(frozen=True, eq=False)
class Chart:
  """Holds a figure.

  Attributes:
    name: of its files, without ending.
    title: a heading.
    alt: what it shows, for who does not see it.
    caption: how it is read.
    figure: what Matplotlib saves.
  """

  name: str
  title: str
  alt: str
  caption: str
  figure: 'Figure'


def charts_of(results: Sequence[Result], runs: Sequence[Run]) -> list[Chart]:
  """Draws what there is something of to draw.

  Args:
    results: the evaluations.
    runs: the runs.

  Returns:
    The figures: training curves, IoU by class, by size in bins and episode by episode,
    reliability, risk and coverage.
  """
  return [
    *(_curves(runs) if runs else ()),
    *_class_bars(results),
    *_size_bins([r for r in results if any(name in r.figures for name in SIZES)]),
    *_size_scatter([r for r in results if r.counted]),
    *_reliability([r for r in results if r.figures.get('reliability')]),
    *_risk_coverage([r for r in results if r.figures.get('risk_coverage')]),
  ]


def _look(i: int, points: int = 0) -> dict[str, Any]:
  """Returns how the line of an evaluation or a run looks; of many points some have a marker."""
  return {
    'color': _COLORS[i % len(_COLORS)],
    'linestyle': _LINES[i % len(_LINES)],
    'marker': _MARKERS[i % len(_MARKERS)],
    'markevery': max(1, points // 8),
    'markersize': 5,
    'linewidth': 1.6,
  }


def _subplots(
  down: int, across: int, height: float, **shared: Any
) -> 'tuple[Figure, list[list[Axes]]]':
  # Matplotlib is optional. Its Figure needs no display.
  from matplotlib.figure import Figure

  figure = Figure(figsize=(_WIDTH, height), layout='constrained')
  axes = figure.subplots(down, across, squeeze=False, **shared)
  for one in axes.flat:
    one.grid(alpha=0.4, linewidth=0.5)
    one.spines[['top', 'right']].set_visible(False)
  return figure, axes.tolist()


def _legend(figure: 'Figure', axes: 'Axes', names: Sequence[str]) -> None:
  """Puts the legend below, where long names have room, in the order of all figures."""
  handles, labels = axes.get_legend_handles_labels()
  by_name = dict(zip(labels, handles, strict=True))
  labels = [name for name in names if name in by_name]
  handles = [by_name[name] for name in labels]
  columns = max(1, min(len(labels), 3, 66 // (6 + max(map(len, labels), default=0))))
  figure.legend(handles, labels, loc='outside lower center', ncols=columns, handlelength=4)


def _curves(runs: Sequence[Run]) -> list[Chart]:
  panels = (
    ('train/loss', 'loss'),
    ('train/miou', 'training mIoU, %'),
    ('val/miou', 'validation mIoU, %'),
  )
  shown = [(key, label) for key, label in panels if any(key in run.curves for run in runs)]
  if not shown:
    shown = [('train/running_loss', 'running loss')]  # Of a run that has ended no epoch yet.
  if not any(key in run.curves for key, _ in shown for run in runs):
    return []
  figure, axes = _subplots(len(shown), 1, 2.1 * len(shown) + 0.4, sharex=True)
  said = []
  for (key, label), (one,) in zip(shown, axes, strict=True):
    for i, run in enumerate(runs):
      curve = sorted(run.curves.get(key, {}).items())
      steps, values = zip(*curve, strict=True) if curve else ((), ())
      running = sorted(run.curves.get('train/running_loss', {}).items())
      if key == 'train/loss' and running:
        one.plot(*zip(*running, strict=True), color=_COLORS[i % 7], alpha=0.35, linewidth=0.7)
      one.plot(steps, values, label=run.name, **_look(i, len(steps)))
      if values:
        said.append(f'{label} of {run.name} from {values[0]:.3g} to {values[-1]:.3g}')
    one.set_ylabel(label)
  axes[-1][0].set_xlabel('step')
  _legend(figure, axes[0][0], [run.name for run in runs])
  alt = 'Curves over training steps: ' + '; '.join(said) + '.'
  caption = 'Loss and mIoU by training step, an epoch a point; thin: the running loss.'
  return [Chart('curves', 'Training curves', alt, caption, figure)]


def _class_bars(results: Sequence[Result]) -> list[Chart]:
  names = list(dict.fromkeys(name for r in results for name in r.figures['class_iou']))
  first = {n: next(_known(r, n) for r in results if n in r.figures['class_iou']) for n in names}
  most = max(4, _MOST_BARS // max(1, len(results)))
  of_fold = {
    n: next(i for i, r in enumerate(results) if n in r.figures['class_iou']) for n in names
  }
  order = sorted(names, key=lambda name: (of_fold[name], -first[name]))
  left_out = max(0, len(order) - most)
  if left_out:  # The ends of the order say more than its middle.
    order = [*order[: most // 2], *order[len(order) - most // 2 :]]
  if not order:
    return []
  bars = [[i for i, r in enumerate(results) if n in r.figures['class_iou']] for n in order]
  height = 0.2 * sum(map(len, bars)) + 0.12 * len(order) + 1.2
  figure, ((axes,),) = _subplots(1, 1, max(2.5, height))
  place, ticks, seen, said = 0.0, [], set(), []
  for name, which in zip(order, bars, strict=True):
    ticks.append(place + (len(which) - 1) / 2)
    for i in which:
      figures, value = results[i].figures, _known(results[i], name)
      ends = figures['class_iou_interval'].get(name)
      error = None if ends is None else _error(value, ends)
      axes.barh(
        place,
        value,
        0.9,
        xerr=error,
        label=None if i in seen else results[i].name,
        color=_pale(i),
        edgecolor='black',
        linewidth=0.6,
        hatch=_HATCHES[i % len(_HATCHES)],
        error_kw={'elinewidth': 1.0, 'capsize': 2},
      )
      seen.add(i)
      place += 1
      said.append(f'{name} {value:.1f} ({results[i].name})')
    place += 0.7
  axes.set_yticks(ticks, order)
  axes.invert_yaxis()
  axes.set(xlim=(0, 100), xlabel='IoU, %')
  axes.grid(visible=False, axis='y')
  _legend(figure, axes, [result.name for result in results])
  alt = 'Bars of the IoU of each class, in percent: ' + ', '.join(said[:40])
  alt += f', and {len(said) - 40} more, in the table below.' if len(said) > 40 else '.'
  caption = 'IoU of each class; lines: 95% intervals.'
  if left_out:
    caption += f' The best and the worst classes of all {len(names)}; the tables have the others.'
  return [Chart('classes', 'IoU by class', alt, caption, figure)]


def _known(result: Result, name: str) -> float:
  return result.figures['class_iou'].get(name) or 0.0


def _error(value: float, ends: Sequence[float]) -> list[list[float]]:
  return [[max(0.0, value - ends[0])], [max(0.0, ends[1] - value)]]


def _pale(i: int) -> tuple[float, ...]:
  """Returns a color on which a hatch is seen."""
  from matplotlib.colors import to_rgb

  return tuple(0.45 * c + 0.55 for c in to_rgb(_COLORS[i % len(_COLORS)]))


def _size_bins(results: Sequence[Result]) -> list[Chart]:
  if not results:
    return []
  figure, ((axes,),) = _subplots(1, 1, 3.6)
  said = []
  for i, result in enumerate(results):
    found = {name: result.figures.get(name) for name in SIZES}
    shown = {name: float(value) for name, value in found.items() if value is not None}
    aside = 0.12 * (i - (len(results) - 1) / 2)
    places = [list(SIZES).index(name) + aside for name in shown]
    axes.plot(places, list(shown.values()), label=result.name, **_look(i))
    for x, (name, value) in zip(places, shown.items(), strict=True):
      ends = result.figures.get(f'{name}_interval')
      if ends:
        color = _COLORS[i % len(_COLORS)]
        axes.errorbar(x, value, _error(value, ends), color=color, capsize=3, linewidth=1)
      said.append(f'{result.name}, {SIZES[name]}: {value:.1f}')
  axes.set_xticks(range(len(SIZES)), list(SIZES.values()))
  axes.set(ylim=(0, 100), ylabel='mean IoU, %', xlabel="object's share of the query")
  _legend(figure, axes, [result.name for result in results])
  alt = 'Mean IoU of episodes by the share of the query that the object covers: '
  caption = 'Mean of the IoUs of single episodes by the size of the object, with 95% intervals.'
  return [Chart('sizes', 'IoU by object size', alt + '; '.join(said) + '.', caption, figure)]


def _size_scatter(results: Sequence[Result]) -> list[Chart]:
  if not results:
    return []
  across = min(2, len(results))
  down = math.ceil(len(results) / across)
  figure, axes = _subplots(down, across, 2.6 * down + 0.3, sharex=True, sharey=True)
  said = []
  panels = list(itertools.chain(*axes))
  for one, result in itertools.zip_longest(panels, results):
    if result is None or result.counted is None:
      one.set_axis_off()
      continue
    iou, share = shares(result.counted.counts)
    iou, share = iou[share > 0], share[share > 0]
    one.plot(share, iou, '.', color='0.55', markersize=2.5, alpha=0.7, rasterized=True)
    bins = np.clip(np.digitize(share, _EDGES[1:-1]), 0, len(_EDGES) - 2)
    kept = [b for b in range(len(_EDGES) - 1) if (bins == b).sum() >= 5]
    middle = [float(np.median(share[bins == b])) for b in kept]
    medians = [float(np.median(iou[bins == b])) for b in kept]
    one.plot(middle, medians, 'k-o', linewidth=1.6, markersize=4)
    one.set_title(result.name, fontsize=9)
    one.set(xscale='log', ylim=(-2, 102))
    one.set_xticks(_SHARES, [f'{share:g}' for share in _SHARES])
    one.minorticks_off()
    if medians:
      ends = f'{medians[0]:.0f} at {middle[0]:.2g}% to {medians[-1]:.0f} at {middle[-1]:.2g}%'
      said.append(f'{result.name}: median IoU from {ends} of the query')
  panels[0].set_xlim(*_range([r.counted for r in results if r.counted]))
  for row in axes:
    row[0].set_ylabel('IoU, %')
  for one in panels[max(0, len(results) - across) : len(results)]:
    one.set_xlabel("object's share of the query, %")
    one.tick_params(labelbottom=True)
  alt = 'Scatter of the IoU of each episode against the size of the object. ' + '; '.join(said)
  caption = 'A point an episode; line: medians of bins of the size with five episodes or more.'
  return [Chart('size-scatter', 'Episodes by object size', f'{alt}.', caption, figure)]


def _range(counted: Sequence[Counted]) -> tuple[float, float]:
  """Returns the ends of an axis of object shares, in percent; not those of a few pixels."""
  found = np.concatenate([shares(one.counts)[1] for one in counted])
  return max(0.05, 0.8 * float(np.min(found, initial=100, where=found > 0))), 110.0


def _reliability(results: Sequence[Result]) -> list[Chart]:
  if not results:
    return []
  figure, axes = _subplots(2, 1, 5.4, sharex=True, height_ratios=(3, 1))
  upper, lower = axes[0][0], axes[1][0]
  upper.plot([0, 100], [0, 100], color='0.4', linewidth=1, label=_RIGHT)
  said = []
  for i, result in enumerate(results):
    lines = [line for line in result.figures['reliability'] if line['pixels']]
    x = [line['probability'] for line in lines]
    upper.plot(x, [line['foreground'] for line in lines], label=result.name, **_look(i))
    total = sum(line['pixels'] for line in lines)
    part = [100 * line['pixels'] / total for line in lines]
    lower.plot(x, part, **_look(i))
    error = result.figures.get('ece')
    said.append(result.name + ('' if error is None else f', calibration error {error:.2f}%'))
  upper.set(xlim=(0, 100), ylim=(0, 100), ylabel='foreground, %')
  lower.set(yscale='log', ylabel='pixels, %', xlabel='foreground probability, %', ylim=(0.01, 150))
  lower.set_yticks([0.01, 0.1, 1, 10, 100], ['0.01', '0.1', '1', '10', '100'])
  lower.minorticks_off()
  _legend(figure, upper, [_RIGHT, *(result.name for result in results)])
  alt = 'How many pixels are foreground, by the probability that they were given: '
  caption = 'Pixels by their foreground probability; below, how many have it. On the line is right.'
  return [Chart('reliability', 'Reliability', alt + '; '.join(said) + '.', caption, figure)]


def _risk_coverage(results: Sequence[Result]) -> list[Chart]:
  if not results:
    return []
  figure, ((axes,),) = _subplots(1, 1, 3.6)
  said = []
  for i, result in enumerate(results):
    lines = result.figures['risk_coverage']
    x, y = ([line[key] for line in lines] for key in ('coverage', 'risk'))
    axes.plot(x, y, label=result.name, **_look(i, len(x)))
    said.append(f'{result.name}: risk {y[0]:.1f}% at {x[0]:.0f}% to {y[-1]:.1f}% at {x[-1]:.0f}%')
  axes.set(xlim=(0, 100), ylim=(0, 102), xlabel='coverage, %', ylabel='risk, %')
  _legend(figure, axes, [result.name for result in results])
  alt = 'Risk against coverage, pictures by their presence score: ' + '; '.join(said) + '.'
  caption = 'What pictures lose on average, 1 - IoU, of those with the highest presence scores.'
  return [Chart('risk-coverage', 'Risk and coverage', alt, caption, figure)]
