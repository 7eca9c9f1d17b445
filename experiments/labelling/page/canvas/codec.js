// Asks the worker: label -> PNG, PNG -> label.

const waiting = new Map();
let last = 0;
let worker = start(); // at once: its files come while the server is there

function start() {
  const made = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
  made.onmessage = ({ data: { id, answer, error } }) => {
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    if (error) reject(new Error(error));
    else resolve(answer);
  };
  // Its files did not come: as if the server did not answer, to be tried again.
  made.onerror = () => {
    worker = null;
    for (const { reject } of waiting.values()) {
      reject(Object.assign(new Error(), { status: 0 }));
    }
    waiting.clear();
  };
  return made;
}

function ask(kind, value) {
  worker ??= start();
  return new Promise((resolve, reject) => {
    waiting.set(++last, { resolve, reject });
    worker.postMessage({ id: last, kind, value }); // copies the label
  });
}

// {bytes, mark} of a label as it is now.
export const encode = (label) => ask('encode', label);
// {label, mark} of the bytes of a PNG.
export const decode = (bytes) => ask('decode', bytes);
