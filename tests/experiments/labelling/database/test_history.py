"""The row of propagations against a plain list of what each has found."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.labelling.database import history, rows
from experiments.labelling.database.files import File
from experiments.labelling.database.store import Refused, Store

NAMES = ('a', 'b', 'c', 'd')


def opened(folder):
  store = Store(folder / 'labels.sqlite')
  store.list_files([File(name, 1, 1, 2, 2) for name in NAMES], [])
  store.draw('a', b'person', {1: 0.5}, since=store.revision())
  return contextlib.closing(store.database), store


def find(store, name, value):
  run, _ = store.read(rows.shown_run)
  areas = {1: 0.5} if value else {}
  return store.keep_found(
    run, name, str(value).encode(), areas=areas, confidence=0.5, presence=1.0, sha='x'
  )


def masks(store):
  return tuple(store.shown(name)[1] for name in NAMES)


# What a person does: begins a propagation that comes to some pictures, undoes, redoes, accepts.
STEP = st.one_of(
  st.tuples(st.just('run'), st.sets(st.sampled_from(NAMES[1:]))),
  st.tuples(st.just('undo'), st.none()),
  st.tuples(st.just('redo'), st.none()),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, max_size=14))
def test_undo_and_redo_are_those_of_a_list(tmp_path_factory, steps):
  """The oracle keeps the whole state after each propagation, and where in them one is."""
  closing, store = opened(tmp_path_factory.mktemp('store'))
  with closing:
    start = (b'person', None, None, None)
    states, at = [start, start], 1  # Before and after the first, which finds nothing.
    for value, (what, names) in enumerate(steps):
      if what == 'run':
        store.begin()
        for name in sorted(names):
          assert find(store, name, value)
        state = list(states[at])
        for name in names:
          state[NAMES.index(name)] = str(value).encode()
        states, at = [*states[: at + 1], tuple(state)], at + 1
        # Undo goes so far, and no further.
        dropped = max(0, len(states) - 1 - history.KEPT)
        states, at = states[dropped:], at - dropped
      else:
        wanted = at + (1 if what == 'redo' else -1)
        can = 0 <= wanted < len(states)
        assert store.read(history.can_move, forward=what == 'redo') == can
        if can:
          store.move(forward=what == 'redo')
          at = wanted
        else:
          with pytest.raises(Refused):
            store.move(forward=what == 'redo')
      assert masks(store) == states[at]


def test_what_is_accepted_outlives_all(tmp_path):
  closing, store = opened(tmp_path)
  with closing:
    find(store, 'b', 1)
    store.decide('b', 'accepted')
    for value in range(2, 2 * history.KEPT):
      store.begin()
      find(store, 'c', value)
      assert store.shown('b')[1] == b'1'
    for _ in range(history.KEPT):
      store.move(forward=False)
      assert store.shown('b')[1] == b'1'
    store.begin()
    assert store.shown('b')[1] == b'1'
    assert store.read(rows.to_do, store.read(rows.shown_run)[0]) == ['c', 'd']


def test_what_is_found_late_is_not_kept(tmp_path):
  closing, store = opened(tmp_path)
  with closing:
    run, _ = store.read(rows.shown_run)
    store.begin()
    late = {'areas': {1: 1.0}, 'confidence': 1.0, 'presence': 1.0, 'sha': 'x'}
    assert not store.keep_found(run, 'b', b'late', **late)
    assert store.shown('b')[1] is None


def test_old_propagations_take_no_room(tmp_path):
  closing, store = opened(tmp_path)
  with closing:
    for value in range(4 * history.KEPT):
      store.begin()
      for name in NAMES[1:]:
        find(store, name, value)
    with store.database.reading() as connection:
      (kept,) = connection.execute('SELECT count(*) FROM found').fetchone()
    assert kept <= (history.KEPT + 1) * len(NAMES[1:])
