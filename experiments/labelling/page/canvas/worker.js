// Encodes and decodes labels off the page's thread: drawing never waits for it.

import { decodeLabel, encodeLabel, fingerprint } from './png.js';

self.onmessage = async ({ data: { id, kind, value } }) => {
  try {
    if (kind === 'encode') {
      const answer = { bytes: encodeLabel(value), mark: fingerprint(value) };
      self.postMessage({ id, answer });
    } else {
      const label = await decodeLabel(value);
      self.postMessage({ id, answer: { label, mark: fingerprint(label) } }, [label.data.buffer]);
    }
  } catch (error) {
    self.postMessage({ id, error: String(error.message || error) });
  }
};
