// Asks a worker: label -> PNG, PNG -> label.

export class Codec {
  constructor() {
    this.waiting = new Map();
    this.last = 0;
    this.start(); // at once: its files come while the server is there
  }

  start() {
    this.worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
    this.worker.onmessage = ({ data: { id, answer, error } }) => {
      const { resolve, reject } = this.waiting.get(id);
      this.waiting.delete(id);
      if (error) reject(new Error(error));
      else resolve(answer);
    };
    // Its files did not come: as if the server did not answer, to be tried again.
    this.worker.onerror = () => {
      this.worker = null;
      for (const { reject } of this.waiting.values()) {
        reject(Object.assign(new Error(), { status: 0 }));
      }
      this.waiting.clear();
    };
  }

  ask(kind, value, moved = []) {
    if (!this.worker) this.start();
    return new Promise((resolve, reject) => {
      this.waiting.set(++this.last, { resolve, reject });
      this.worker.postMessage({ id: this.last, kind, value }, moved);
    });
  }

  // {bytes, mark} of a label as it is now.
  encode({ width, height, data }) {
    const copy = data.slice();
    return this.ask('encode', { width, height, data: copy }, [copy.buffer]);
  }

  // {label, mark} of the bytes of a PNG.
  decode(bytes) {
    return this.ask('decode', bytes);
  }
}

// That of the open picture and of all that is saved.
const codec = new Codec();
export const encode = (label) => codec.encode(label);
export const decode = (bytes) => codec.decode(bytes);
