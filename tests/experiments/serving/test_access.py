"""Who is let in: the right token, host and origin; what all answers carry."""

import http.client
import re

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from experiments.serving.access import COOKIE, HEADER, MOST_BODY, Access, hosts_of, is_address
from tests.labelling import TOKEN, Client, save_pictures, served


def raw(port, method='GET', path='/api/state', body=None, **headers):
  """A request with exactly these headers; returns (status, text, headers)."""
  connection = http.client.HTTPConnection('127.0.0.1', port, timeout=20)
  try:
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in headers.items():
      connection.putheader(name.replace('_', '-'), value)
    connection.endheaders(body)
    answer = connection.getresponse()
    return answer.status, answer.read().decode('utf-8', 'replace'), answer.headers
  finally:
    connection.close()


@pytest.fixture(scope='module')
def page(tmp_path_factory):
  """One page for all: nothing here changes it."""
  with served(save_pictures(tmp_path_factory.mktemp('pictures'))) as (page, port):
    page.port = port
    yield page


@pytest.fixture
def client(page):
  with Client(page.port) as client:
    yield client


@pytest.fixture
def host(page):
  return f'127.0.0.1:{page.port}'


@pytest.mark.parametrize(
  'path', ['/', '/index.html', '/api/state', '/api/pictures/a.jpg/image', '/x']
)
def test_nothing_without_the_token(page, host, path):
  for given in ({}, {HEADER: 'wrong'}, {'Cookie': f'{COOKIE}=wrong'}, {'Cookie': 'a=b; c'}):
    status, text, _ = raw(page.port, path=path, Host=host, **given)
    assert status == 403 and len(text.splitlines()) == 1


def test_the_token_in_the_address_becomes_a_cookie(page):
  with httpx.Client(base_url=f'http://127.0.0.1:{page.port}') as browser:
    answer = browser.get('/', params={'token': TOKEN})
    assert answer.status_code == 303 and answer.headers['location'] == '/'
    cookie = answer.headers['set-cookie']
    assert 'HttpOnly' in cookie and re.search('samesite=strict', cookie, re.IGNORECASE)
    assert browser.get('/').status_code == 200
    assert browser.get('/api/state').status_code == 200
  status, text, headers = raw(page.port, path='/?token=wrong', Host=f'localhost:{page.port}')
  assert status == 403 and len(text.splitlines()) == 1 and 'set-cookie' not in headers


@pytest.mark.parametrize(
  'foreign', ['evil.example', 'evil.example:{}', '127.0.0.1.evil.example:{}', '', '127.0.0.1:1']
)
def test_other_hosts_are_refused(page, foreign):
  """A name of another site that leads here, as DNS rebinding makes it."""
  given = {HEADER: TOKEN, 'Host': foreign.format(page.port)}
  assert raw(page.port, **given)[0] == 403


@pytest.mark.parametrize('name', ['localhost', '127.0.0.1', 'LOCALHOST'])
def test_this_machine_is_let_in(page, name):
  given = {HEADER: TOKEN, 'Host': f'{name}:{page.port}'}
  assert raw(page.port, **given)[0] == 200
  given['Origin'] = f'http://{name}:{page.port}'
  assert raw(page.port, **given)[0] == 200


@pytest.mark.parametrize(
  'origin',
  ['null', 'http://evil.example', 'https://127.0.0.1:{}', 'http://127.0.0.1:1', 'http://localhost'],
)
def test_other_origins_are_refused(page, host, origin):
  given = {HEADER: TOKEN, 'Host': host, 'Origin': origin.format(page.port)}
  for method in ('GET', 'POST', 'PUT', 'DELETE', 'OPTIONS'):
    status, _, headers = raw(page.port, method, '/api/pictures/a.jpg/mask', **given)
    assert status == 403 and 'access-control-allow-origin' not in headers


def test_browsers_are_told_to_load_and_keep_nothing(page, client):
  for path in ('/', '/api/state', '/api/pictures/a.jpg/image', '/nowhere', '/api/nowhere'):
    headers = client.get(path).headers
    policy = headers['content-security-policy']
    assert "default-src 'self'" in policy and "img-src 'self' blob: data:" in policy
    assert headers['x-content-type-options'] == 'nosniff'
    assert ('no-store' in headers['cache-control']) == path.startswith('/api')
  status, _, headers = raw(page.port, Host='evil.example')
  assert status == 403 and headers['x-content-type-options'] == 'nosniff'


def test_large_bodies_are_refused(page, client, host):
  given = {HEADER: TOKEN, 'Host': host, 'Content_Length': str(MOST_BODY + 1), 'If_Match': '9'}
  assert raw(page.port, 'PUT', '/api/pictures/a.jpg/mask', **given)[0] == 413

  def endless():
    for _ in range(MOST_BODY // 2**20 + 1):
      yield bytes(2**20)

  answer = client.put('/api/pictures/a.jpg/mask', content=endless(), headers={'If-Match': '9'})
  assert answer.status_code == 413
  assert client.get('/api/pictures/a.jpg').json()['state'] == 'waiting'


def test_two_ports_of_a_host_have_a_cookie_each():
  """A browser sends the cookies of all ports to each of them."""
  app, hosts = PlainTextResponse('in'), ['testserver']
  one, two = (Access(app, token=f't{n}', hosts=hosts, cookie=f'{COOKIE}-{n}') for n in (1, 2))
  both = {'Cookie': f'{COOKIE}-1=t1; {COOKIE}-2=t2'}
  for access, n in ((one, 1), (two, 2)):
    client = TestClient(access)
    entered = client.get(f'/?token=t{n}', follow_redirects=False)
    assert entered.headers['set-cookie'].startswith(f'{COOKIE}-{n}=t{n};')
    client.cookies.clear()
    assert client.get('/x', headers=both).text == 'in'
    client.cookies.clear()
    assert client.get('/x', headers={'Cookie': f'{COOKIE}-{3 - n}=t{n}'}).status_code == 403


def test_a_cookie_among_others_counts(page):
  with Client(page.port) as client:
    del client.headers[HEADER]
    cookie = f'theme=dark; {COOKIE}={TOKEN}; other=1'
    assert client.get('/api/state', headers={'Cookie': cookie}).status_code == 200


def test_hosts_and_addresses():
  assert hosts_of('192.0.2.1', 80) >= {'192.0.2.1:80', '192.0.2.1', 'localhost'}
  assert '[2001:db8::1]:9' in hosts_of('2001:db8::1', 9)
  assert is_address('192.0.2.1:8600') and is_address('[2001:db8::1]:8600')
  assert is_address('192.0.2.1') and not is_address('evil.example:8600') and not is_address('')
