"""What breaks files is a function of the file and the seed, and always breaks something."""

import io
import json
import random
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from experiments.recovery import containers, mutations

NAMES = [
  *('a.bin', 'a.png', 'a.npz', 'a.pt', 'a.safetensors', 'a.pkl', 'a.json', 'a.jsonl', 'a.txt'),
  *('a.toml', 'metadata'),
]


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=300), seed=st.integers(0, 2**32), name=st.sampled_from(NAMES))
def test_any_bytes_become_others_and_the_same_each_time(data, seed, name):
  structure = containers.structure_of(name)
  one, two = (mutations.mutate(data, random.Random(seed), structure) for _ in range(2))
  assert one == two != data


JSON = st.recursive(
  st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
  lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
  max_leaves=12,
)


@settings(max_examples=25, deadline=None)
@given(tree=st.lists(JSON, min_size=1) | st.dictionaries(st.text(), JSON, min_size=1))
def test_any_json_becomes_other_text_and_the_tree_stays(tree):
  text = json.dumps(tree).encode()
  for seed in range(3):
    one, two = (
      mutations.mutate(text, random.Random(seed), mutations.mutate_json) for _ in range(2)
    )
    assert one == two != text


@pytest.mark.parametrize('text', [b'0', b'"a"', b'null', b'[]'])
def test_a_value_alone_is_broken_too(text):
  found = {mutations.mutate(text, random.Random(seed), mutations.mutate_json) for seed in range(9)}
  assert text not in found and len(found) > 1


def test_json_is_broken_in_every_way():
  text = json.dumps({'a': [1, 2.5, 'x'], 'b': {'c': None}, 'd': 'text'}).encode()
  made = [mutations.mutate_json(text, random.Random(seed)) for seed in range(400)]
  assert any(b'NaN' in m for m in made) and any(b'9' * 5000 in m for m in made)
  assert any(b'[' * 100_000 in m for m in made) and any(b'\\ud800' in m for m in made)
  trees = []
  for m in made:
    try:
      trees.append(json.loads(m))
    except (ValueError, RecursionError):
      continue
  assert any('b' not in tree for tree in trees) and any('d ' in tree for tree in trees)
  assert any(isinstance(tree.get('a'), dict | str | int) for tree in trees)
  assert any(isinstance(tree.get('a'), list) and len(tree['a']) >= 3000 for tree in trees)


def png():
  out = io.BytesIO()
  Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8)).save(out, 'PNG')
  return out.getvalue()


def test_the_parts_of_a_png_keep_their_checksums():
  sizes = set()
  for seed in range(60):
    data, at = containers.mutate_png(png(), random.Random(seed)), 8
    while at < len(data):
      length = int.from_bytes(data[at : at + 4], 'big')
      kind, end = data[at + 4 : at + 8], at + 8 + length
      assert zlib.crc32(data[at + 4 : end]) == int.from_bytes(data[end : end + 4], 'big')
      if kind == b'IHDR':
        sizes.add(data[at + 8 : at + 16])
      at = end + 4
  assert len(sizes) > 5


def test_archives_stay_archives_and_pickles_have_other_words():
  packed = io.BytesIO()
  np.savez(packed, a=np.ones(3), b=np.zeros((2, 2)))
  heads = set()
  for seed in range(60):
    with zipfile.ZipFile(
      io.BytesIO(containers.mutate_zip(packed.getvalue(), random.Random(seed)))
    ) as archive:
      assert archive.testzip() is None
      heads |= {archive.read(info)[:80] for info in archive.infolist()}
  assert any(b'1000000000000' in head or b'4294967296' in head for head in heads)


@pytest.mark.parametrize('name', ['mutate_png', 'mutate_zip', 'mutate_pickle', 'mutate_json'])
def test_what_is_built_otherwise_is_left_to_others(name):
  mutator = getattr(containers, name, None) or getattr(mutations, name)
  with pytest.raises(ValueError):
    mutator(b'\x00\x01nothing of the kind', random.Random(0))
