// The server, as functions. Whatever goes wrong is an ApiError: `status` 0 where it does not answer.

export class ApiError extends Error {
  constructor(status, message, body = null) {
    super(message);
    Object.assign(this, { status, body });
  }
}

const SLOW = 60_000;
const place = (name) => `api/pictures/${encodeURIComponent(name)}`;

async function ask(method, path, { json, ...options } = {}) {
  if (json !== undefined) {
    options.body = JSON.stringify(json);
    options.headers = { 'Content-Type': 'application/json' };
  }
  let answer;
  try {
    answer = await fetch(path, {
      method, credentials: 'same-origin', signal: AbortSignal.timeout(SLOW), ...options,
    });
  } catch {
    throw new ApiError(0, '');
  }
  if (answer.ok) return answer;
  const text = await answer.text().catch(() => '');
  let body = null;
  try {
    body = JSON.parse(text);
    if (body?.detail !== undefined) body = body.detail;
  } catch {
    body = text;
  }
  throw new ApiError(answer.status, typeof body === 'string' ? body : '', body);
}

async function json(...request) {
  return (await ask(...request)).json();
}

export const getState = () => json('GET', 'api/state');
export const getPicture = (name) => json('GET', place(name));
export const thumbnailOf = (picture) => `${place(picture.name)}/thumbnail`;

export function listPictures({ order, state, start, count }) {
  const query = new URLSearchParams({ order, state, start, count });
  return json('GET', `api/pictures?${query}`);
}

export async function getImage(name, signal) {
  return (await ask('GET', `${place(name)}/image`, { signal })).blob();
}

// {bytes, revision}; bytes are null where the picture has no mask yet.
export async function getMask(name) {
  const answer = await ask('GET', `${place(name)}/mask`);
  const revision = answer.headers.get('X-Revision');
  const bytes = answer.status === 204 ? null : new Uint8Array(await answer.arrayBuffer());
  return { bytes, revision: revision === null ? null : Number(revision) };
}

function maskRequest(name, bytes, { revision, support, first }) {
  const query = new URLSearchParams();
  if (!support) query.set('support', '0');
  if (first) query.set('first', first);
  const words = query.toString();
  return [`${place(name)}/mask${words && `?${words}`}`, {
    body: new Blob([bytes], { type: 'image/png' }),
    headers: { 'Content-Type': 'image/png', 'If-Match': String(revision) },
  }];
}

export async function putMask(name, bytes, options) {
  const [path, request] = maskRequest(name, bytes, options);
  return (await ask('PUT', path, request)).json();
}

// While the page is being closed: sent, and not waited for. Browsers take 64 KB of this in all.
export function putMaskAndLeave(name, bytes, options) {
  const [path, request] = maskRequest(name, bytes, options);
  fetch(path, { method: 'PUT', credentials: 'same-origin', keepalive: true, ...request })
    .catch(() => {});
}

export const dropMask = (name) => json('DELETE', `${place(name)}/mask`);
export const decide = (name, decision) => (
  json('POST', `${place(name)}/decision`, { json: { decision } })
);
export function decideAndLeave(name, decision) {
  fetch(`${place(name)}/decision`, {
    method: 'POST', credentials: 'same-origin', keepalive: true, body: JSON.stringify({ decision }),
    headers: { 'Content-Type': 'application/json' },
  }).catch(() => {});
}
export const useAsSupport = (name, isSupport) => (
  json('POST', `${place(name)}/support`, { json: { is_support: isSupport } })
);
export const addClass = (one) => json('POST', 'api/classes', { json: one });
export const changeClass = (number, change) => (
  json('PATCH', `api/classes/${number}`, { json: change })
);
export const propagate = () => json('POST', 'api/propagate');
export const undoFound = () => json('POST', 'api/undo');
export const redoFound = () => json('POST', 'api/redo');
export const exportAll = (formats, what) => (
  json('POST', 'api/export', { json: { formats, what }, signal: null })
);

// Calls `changed(what)` whenever something did, here or in another browser, and `connected(yes)`.
export function listen(changed, connected) {
  const source = new EventSource('api/events');
  source.onopen = () => connected(true);
  source.onmessage = ({ data }) => changed(JSON.parse(data));
  source.onerror = () => {
    connected(false);
    // Refused, not interrupted: the browser does not try again by itself.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => listen(changed, connected), 2000);
  };
}
