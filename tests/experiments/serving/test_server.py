"""What the service answers: to good requests what a segmenter finds, to bad ones one line."""

import base64
import io
import socket
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coder

from experiments.serving.access import HEADER
from tests.labelling import TOKEN, line, pixels_of, wait_for
from tests.serving import Client, base, drawn, encoded, fitted, form, photo, segmenter, served

QUERY = photo(7, (37, 53))


@pytest.fixture(scope='module')
def service():
  """One for all: requests leave nothing behind."""
  with served(fitted()) as (_, port):
    yield port


@pytest.fixture(scope='module')
def bare():
  """One that knows no supports."""
  with served(segmenter(), kept=2) as (engine, port):
    engine.port = port
    yield engine


@pytest.fixture
def client(service):
  with Client(service) as client:
    yield client


@pytest.fixture
def other(bare):
  with Client(bare.port) as client:
    yield client


def decoded(answer):
  assert answer.status_code == 200, answer.text
  return coder.decode(answer.json()['mask'])


def head_of_png(width, height):
  """A PNG that promises a size and has no pixels."""
  head = b'IHDR' + struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)
  chunk = struct.pack('>I', 13) + head + struct.pack('>I', zlib.crc32(head))
  return b'\x89PNG\r\n\x1a\n' + chunk


def test_it_finds_what_a_segmenter_finds(client):
  found = fitted().predict(QUERY)
  assert set(np.unique(found.mask)) == {0, 1}, 'a mask of one value would show nothing'
  answer = client.segment(encoded(QUERY))
  np.testing.assert_array_equal(decoded(answer), found.mask)
  told = answer.json()
  assert (told['width'], told['height'], told['area']) == (53, 37, found.mask.sum())
  assert told['confidence'] == pytest.approx(found.confidence, abs=1e-5)
  assert told['presence'] == pytest.approx(1 / (1 + np.exp(-found.presence)), abs=1e-5)
  assert [one['name'] for one in told['classes']] == ['object']


def test_masks_as_png(client):
  mask = fitted().predict(QUERY).mask * 255
  told = client.segment(encoded(QUERY), params={'format': 'png'}).json()
  np.testing.assert_array_equal(pixels_of(base64.b64decode(told['mask'])), mask)
  answer = client.segment(encoded(QUERY), headers={'Accept': 'image/png'})
  assert answer.headers['content-type'] == 'image/png'
  np.testing.assert_array_equal(pixels_of(answer.content), mask)


@pytest.mark.parametrize('kind', ['image/jpeg', 'application/octet-stream', 'IMAGE/x-any; q=1'])
def test_what_a_picture_is_its_bytes_say(client, kind):
  answer = client.segment(encoded(QUERY), kind)
  np.testing.assert_array_equal(decoded(answer), fitted().predict(QUERY).mask)


def test_supports_in_the_request(other):
  supports = [(photo(3), drawn()), (photo(4, (30, 40)), drawn((30, 40)))]
  given = segmenter().fit([one for one, _ in supports], [mask for _, mask in supports])
  expected = given.predict(QUERY).mask
  assert expected.any()
  np.testing.assert_array_equal(decoded(other.post('/segment', **form(QUERY, supports))), expected)
  body = {
    'image': base(QUERY),
    'support_images': [base(one) for one, _ in supports],
    'support_masks': [base(mask) for _, mask in supports],
  }
  np.testing.assert_array_equal(decoded(other.post('/segment', json=body)), expected)


def test_supports_in_the_request_count_before_those_of_the_start(client):
  expected = segmenter().fit([photo(3)], [drawn()]).predict(QUERY).mask
  answer = client.post('/segment', **form(QUERY, [(photo(3), drawn())]))
  np.testing.assert_array_equal(decoded(answer), expected)


def test_several_classes(other):
  supports = [(photo(3), drawn()), (photo(4), drawn(box=np.s_[20:40, 30:50]))]
  given = form(QUERY, supports, ['dog', 'cat'])
  images, masks = zip(*supports, strict=True)
  found = segmenter().fit(images, masks, ['dog', 'cat']).predict(QUERY)
  told = other.post('/segment', **given).json()
  assert [one['name'] for one in told['classes']] == ['cat', 'dog']
  for number, one in enumerate(told['classes'], 1):
    np.testing.assert_array_equal(coder.decode(one['mask']), found.label == number)
    assert one['area'] == (found.label == number).sum()
  np.testing.assert_array_equal(coder.decode(told['mask']), found.mask)
  png = other.post('/segment', **given, headers={'Accept': 'image/png'})
  np.testing.assert_array_equal(pixels_of(png.content), found.label)


def test_an_upright_answer(client):
  turned = Image.Exif()
  turned[0x0112] = 6
  answer = client.segment(encoded(QUERY, exif=turned))
  assert (answer.json()['width'], answer.json()['height']) == (37, 53)


def test_without_supports_there_is_nothing_to_find(other):
  assert 'support_images' in line(other.segment(encoded(QUERY)), 422)


TRUNCATED = encoded(photo(1, (300, 300)), 'JPEG')[:9000]


@pytest.mark.parametrize(
  'content',
  [
    b'',
    b'no picture',
    b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    TRUNCATED,
    encoded(QUERY)[:-200],
    head_of_png(100_000, 100_000),
    head_of_png(20_000, 10),
    head_of_png(0, 10),
    encoded(np.zeros((10, 20_000), np.uint8)),
  ],
  ids=lambda content: f'{len(content)}',
)
def test_pictures_that_are_none(client, content):
  assert line(client.segment(content), 422).startswith('image')


def test_formats_that_would_be_run_are_not_read(client):
  out = io.BytesIO()
  Image.fromarray(photo(1)).save(out, 'EPS')
  assert 'EPS' in line(client.segment(out.getvalue()), 422)
  given = form(QUERY, [(photo(3), drawn())])
  given['files'][1] = ('support_images', out.getvalue())
  assert 'EPS' in line(client.post('/segment', **given), 422)


@pytest.mark.parametrize('kind', ['BMP', 'GIF', 'PPM', 'TIFF', 'WEBP', 'AVIF', 'JPEG2000', 'MPO'])
def test_formats_that_are_read(client, kind):
  assert client.segment(encoded(QUERY, kind)).status_code == 200


def test_what_is_too_large_is_told_by_its_head(client):
  assert '20000 x 10' in line(client.segment(encoded(np.zeros((10, 20_000), np.uint8))), 422)


def test_a_body_too_large(client):
  answer = client.segment(bytes(2**20 + 1))
  assert answer.status_code == 413 and len(answer.text.splitlines()) == 1
  answer = client.segment(bytes(2**18) for _ in range(5))
  assert answer.status_code == 413 and len(answer.text.splitlines()) == 1


def test_an_animation_is_its_first_frame(client):
  out = io.BytesIO()
  frames = [Image.fromarray(photo(seed)) for seed in range(2)]
  frames[0].save(out, 'WEBP', save_all=True, append_images=frames[1:], lossless=True)
  np.testing.assert_array_equal(
    decoded(client.segment(out.getvalue())), fitted().predict(photo(0)).mask
  )


def test_unknown_words(client):
  assert 'format' in line(client.segment(encoded(QUERY), params={'format': 'bmp'}), 422)
  assert client.get('/segment').status_code == 405
  assert client.get('/nowhere').status_code == client.get('/docs').status_code == 404


def test_who_is_let_in(service):
  with Client(service) as client:
    del client.headers[HEADER]
    assert client.segment(encoded(QUERY)).status_code == 403
    assert client.get('/metrics').status_code == client.get('/openapi.json').status_code == 403
    assert client.get('/health').json() == {'status': 'ready'}
  with Client(service, Authorization=f'Bearer {TOKEN}') as client:
    del client.headers[HEADER]
    assert client.segment(encoded(QUERY)).status_code == 200
  with Client(service, Authorization='Bearer wrong') as client:
    del client.headers[HEADER]
    assert client.segment(encoded(QUERY)).status_code == 403
  with Client(service, Origin='http://evil.example') as client:
    assert client.segment(encoded(QUERY)).status_code == 403
  with Client(service, Host='evil.example') as client:
    assert client.get('/health').status_code == 403


def test_without_a_token_other_sites_are_refused_all_the_same():
  with served(fitted(), token=None) as (_, port), Client(port) as client:
    del client.headers[HEADER]
    assert client.segment(encoded(QUERY)).status_code == 200
    headers = {'Origin': 'http://evil.example'}
    assert client.segment(encoded(QUERY), headers=headers).status_code == 403
    assert client.get('/', headers={'Host': 'evil.example'}).status_code == 403


@pytest.mark.parametrize('error, status', [(MemoryError(), 507), (ZeroDivisionError('x'), 500)])
def test_what_fails_here_is_said_in_one_line_and_the_next_is_answered(
  client, monkeypatch, error, status
):
  def fail(*_, **__):
    raise error

  with monkeypatch.context() as patched:
    patched.setattr('experiments.serving.engine.segment', fail)
    line(client.segment(encoded(QUERY)), status)
  assert client.segment(encoded(QUERY)).status_code == 200


def test_a_request_that_is_broken_off_gives_its_place_back(service, client):
  with socket.create_connection(('127.0.0.1', service)) as connection:
    head = f'POST /segment HTTP/1.1\r\nHost: 127.0.0.1:{service}\r\n{HEADER}: {TOKEN}\r\n'
    connection.sendall(f'{head}Content-Length: 1000\r\n\r\nbegun'.encode())
    wait_for(lambda: 'hsnet_queue_length 1' in client.get('/metrics').text)
  wait_for(lambda: 'hsnet_queue_length 0' in client.get('/metrics').text)
  wait_for(lambda: 'status="400"' in client.get('/metrics').text)


def test_many_clients_at_a_time_each_get_their_own():
  given = fitted()
  with served(given, batch_size=4) as (_, port), Client(port) as client:
    sizes = [(30 + i, 70 - i) for i in range(24)]
    expected = [given.predict(photo(i, size)).mask for i, size in enumerate(sizes)]

    def ask(i):
      return decoded(client.segment(encoded(photo(i, sizes[i]))))

    with ThreadPoolExecutor(8) as pool:
      for found, mask in zip(pool.map(ask, range(24)), expected, strict=True):
        assert found.shape == mask.shape
        assert (found != mask).mean() < 0.01  # A batch rounds otherwise.
    counts = dict(row.rsplit(' ', 1) for row in client.get('/metrics').text.splitlines())
    assert counts['hsnet_requests_total{status="200"}'] == '24'
    assert counts['hsnet_batch_pictures_sum'] == '24.000000'
    assert int(counts['hsnet_batch_pictures_count']) < 24
    assert counts['hsnet_queue_length'] == '0'
    assert counts['hsnet_request_seconds_bucket{le="+Inf"}'] == '24'


def test_a_full_queue_is_said_at_once():
  with served(fitted(), queue=2, starts=False) as (engine, port), Client(port) as client:
    assert client.get('/health').status_code == 503
    with ThreadPoolExecutor(2) as pool:
      waiting = [pool.submit(client.segment, encoded(QUERY)) for _ in range(2)]
      wait_for(lambda: 'hsnet_queue_length 2' in client.get('/metrics').text)
      answer = client.segment(bytes(2**19))
      assert int(answer.headers['retry-after']) > 0 and line(answer, 503)
      engine.start()
      assert [one.result().status_code for one in waiting] == [200, 200]
    assert client.segment(encoded(QUERY)).status_code == 200
    engine.stop()


def test_what_takes_too_long_is_given_up_and_not_computed():
  with served(fitted(), timeout=0.2, starts=False) as (engine, port), Client(port) as client:
    answer = client.segment(encoded(QUERY))
    assert int(answer.headers['retry-after']) > 0 and line(answer, 503)
    engine.start()
    engine.stop()
    assert 'hsnet_batch_pictures_count 0' in client.get('/metrics').text


def test_the_list_of_routes_loads_nothing(client):
  page = client.get('/').text
  assert 'POST /segment' in page and '<script' not in page
  described = client.get('/openapi.json').json()
  assert {*described['paths']} == {'/segment', '/health', '/metrics'}
  assert {*described['paths']['/segment']['post']['requestBody']['content']} >= {
    'multipart/form-data',
    'application/json',
  }
