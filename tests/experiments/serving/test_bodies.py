"""Bodies that do not fit: each is answered with one line that says what is wrong."""

import json

import numpy as np
import pytest

from tests.labelling import line
from tests.serving import Client, base, drawn, encoded, fitted, form, photo, served

QUERY = photo(7, (37, 53))
TRUNCATED = encoded(photo(1, (300, 300)), 'JPEG')[:9000]
IMAGE, MASK = encoded(photo(3)), encoded(drawn())
BOTH = [('support_images', IMAGE), ('support_masks', MASK)]


@pytest.fixture(scope='module')
def service():
  with served(fitted()) as (_, port):
    yield port


@pytest.fixture
def client(service):
  with Client(service) as client:
    yield client


@pytest.mark.parametrize(
  'files, data, words',
  [
    (BOTH, {}, 'image'),
    ([('image', IMAGE), ('image', IMAGE)], {}, 'image'),
    ([('image', IMAGE), ('support_images', IMAGE)], {}, '0 support_masks'),
    (
      [('image', IMAGE), ('support_images', IMAGE), ('support_masks', b'x')],
      {},
      'support_masks[0]',
    ),
    ([('image', IMAGE), ('support_images', TRUNCATED), ('support_masks', MASK)], {}, 'support_'),
    ([('image', IMAGE), *BOTH], {'classes': ['a', 'b']}, '2 classes'),
    ([('image', IMAGE), *BOTH], {'classes': ['']}, 'classes'),
    ([('image', IMAGE), *BOTH], {'classes': ['a\nb']}, 'classes'),
    ([('image', IMAGE)], {'classes': ['a']}, 'classes'),
    ([('image', IMAGE), ('picture', IMAGE)], {}, 'picture'),
    ([('image', IMAGE), ('classes', IMAGE)], {}, 'classes'),
    ([('image', IMAGE)], {'support_masks': ['text']}, 'support_masks'),
    ([('image', IMAGE)], {'../<b>한국': ['x']}, 'no such part'),
  ],
)
def test_parts_that_do_not_fit(client, files, data, words):
  assert words in line(client.post('/segment', files=files, data=data), 422)


@pytest.mark.parametrize(
  'mask, words',
  [
    (drawn((45, 61)), '61 x 45'),
    (np.zeros((45, 60), np.uint8), 'no foreground'),
    (photo(9), 'support_masks[0]'),
  ],
)
def test_masks_that_do_not_fit(client, mask, words):
  said = line(client.post('/segment', **form(QUERY, [(photo(3), mask)])), 422)
  assert words in said and 'support_masks[0]' in said


def test_too_many_supports(client):
  given = form(QUERY, [(photo(3, (8, 8)), drawn((8, 8), np.s_[2:6, 2:6]))] * 17)
  assert client.post('/segment', **given).status_code in (400, 422)


@pytest.mark.parametrize(
  'body, words',
  [
    (b'{', 'JSON'),
    (b'[]', 'object'),
    (b'{"image": 3}', 'image'),
    (b'{"image": "no base64"}', 'image'),
    (b'{"image": "\xff"}', 'JSON'),
    (b'{"image": "", "mask": ""}', 'mask'),
    (b'[' * 100_000, ''),
    (json.dumps({'image': base(QUERY), 'support_masks': ['\ud800']}).encode(), ''),
  ],
)
def test_json_that_does_not_fit(client, body, words):
  assert words in line(client.segment(body, 'application/json'), 422)


@pytest.mark.parametrize(
  'kind, status',
  [
    ('text/plain', 415),
    ('application/x-www-form-urlencoded', 415),
    ('multipart/form-data', 400),
    ('multipart/form-data; boundary=x', 400),
    ('multipart/form-data; boundary=\xe9; charset=nothing', 400),
  ],
)
def test_other_bodies(client, kind, status):
  kind = kind.encode('latin-1')
  line(client.post('/segment', content=encoded(QUERY), headers={'Content-Type': kind}), status)
