// Asks the worker: label -> PNG, PNG -> label.

const waiting = new Map();
let worker = null;
let last = 0;

function ask(kind, value) {
  if (!worker) {
    worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
    worker.onmessage = ({ data: { id, answer, error } }) => {
      const { resolve, reject } = waiting.get(id);
      waiting.delete(id);
      if (error) reject(new Error(error));
      else resolve(answer);
    };
  }
  return new Promise((resolve, reject) => {
    waiting.set(++last, { resolve, reject });
    worker.postMessage({ id: last, kind, value }); // copies the label
  });
}

// {bytes, mark} of a label as it is now.
export const encode = (label) => ask('encode', label);
// {label, mark} of the bytes of a PNG.
export const decode = (bytes) => ask('decode', bytes);
