// Writes and reads labels as 8-bit gray PNG, without a canvas: a browser may smooth, correct or
// (against fingerprinting) disturb what is read back from one, and its encoder cannot be waited for
// while the page is being closed. Both are exact and know this one kind of PNG.

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const LITERALS = 286;
const END = 256;
const LONGEST = 258;

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n >>> 0;
});

// Lengths 3 to 258 as DEFLATE has them: [symbol, extra bits, their value].
const LENGTHS = (() => {
  const table = [];
  let length = 3;
  for (let symbol = 257; symbol < 285; symbol++) {
    const extra = symbol < 265 ? 0 : (symbol - 261) >> 2;
    for (let rest = 0; rest < 1 << extra; rest++) table[length++] = [symbol, extra, rest];
  }
  table[LONGEST] = [285, 0, 0];
  return table;
})();

function reversed(code, bits) {
  let out = 0;
  for (let i = 0; i < bits; i++) out |= ((code >>> i) & 1) << (bits - 1 - i);
  return out;
}

// Codes of given lengths, in the canonical order, ready to be written lowest bit first.
function canonical(lengths) {
  const codes = new Uint16Array(lengths.length);
  let code = 0;
  for (let bits = 1; bits <= 15; bits++) {
    lengths.forEach((length, symbol) => {
      if (length === bits) codes[symbol] = reversed(code++, bits);
    });
    code <<= 1;
  }
  return codes;
}

// One table of codes for all labels. After the filter they are runs of zeros: the longest match takes
// one bit, zero three; the rest share what is left, so that the set is complete.
const BITS = (() => {
  const bits = new Uint8Array(LITERALS).fill(10);
  for (const n of [1, 3, 4, 5, 6, 7, 8, 9, END]) bits[n] = 9;
  bits.fill(9, 257, 285);
  bits[0] = 3;
  bits[2] = 4;
  bits[285] = 1;
  return bits;
})();
const CODES = canonical([...BITS]);

class Bits {
  constructor() {
    this.bytes = new Uint8Array(1 << 16);
    this.size = 0;
    this.held = 0;
    this.count = 0;
  }

  byte(value) {
    if (this.size === this.bytes.length) {
      const more = new Uint8Array(this.size * 2);
      more.set(this.bytes);
      this.bytes = more;
    }
    this.bytes[this.size++] = value;
  }

  put(value, count) {
    this.held |= value << this.count;
    this.count += count;
    while (this.count >= 8) {
      this.byte(this.held & 255);
      this.held >>>= 8;
      this.count -= 8;
    }
  }

  close() {
    if (this.count) this.put(0, 8 - this.count);
  }
}

// The head of a block: the lengths of all codes, themselves coded (RFC 1951, 3.2.7).
function putTables(out) {
  const order = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
  const lengths = new Array(19).fill(0);
  [lengths[10], lengths[9], lengths[1], lengths[3], lengths[4]] = [1, 2, 3, 4, 4];
  const codes = canonical(lengths);
  out.put(1, 1); // the last block
  out.put(2, 2); // with its own codes
  out.put(LITERALS - 257, 5);
  out.put(0, 5); // one distance: 1
  out.put(order.length - 4, 4);
  for (const symbol of order) out.put(lengths[symbol], 3);
  for (const length of [...BITS, 1]) out.put(codes[length], lengths[length]);
}

// Runs of equal bytes to DEFLATE, with the checksum of zlib on the way.
class Runs {
  constructor(out) {
    this.out = out;
    this.value = -1;
    this.count = 0;
    this.a = 1;
    this.b = 0;
  }

  add(value, count) {
    if (value !== this.value) {
      this.flush();
      this.value = value;
    }
    this.count += count;
  }

  literal(value) {
    this.out.put(CODES[value], BITS[value]);
  }

  flush() {
    const { value, count: n, out } = this;
    if (!n) return;
    this.b = (this.b + n * this.a + value * ((n * (n + 1)) / 2)) % 65521;
    this.a = (this.a + n * value) % 65521;
    this.literal(value);
    let rest = n - 1;
    while (rest >= 3) {
      const length = Math.min(rest, LONGEST);
      const [symbol, extra, more] = LENGTHS[length];
      out.put(CODES[symbol], BITS[symbol]);
      out.put(more, extra);
      out.put(0, 1);
      rest -= length;
    }
    while (rest-- > 0) this.literal(value);
    this.count = 0;
  }
}

function deflateRows({ width, height, data }) {
  const out = new Bits();
  out.byte(0x78);
  out.byte(0x01);
  putTables(out);
  const runs = new Runs(out);
  for (let y = 0; y < height; y++) {
    const base = y * width;
    let filled = false;
    for (let x = 0; x < width && !filled; x++) filled = data[base + x] !== 0;
    if (!filled) {
      runs.add(0, width + 1); // filter 0: none
      continue;
    }
    runs.add(2, 1); // filter 2: minus the row above
    for (let x = 0; x < width;) {
      const value = (data[base + x] - (y ? data[base + x - width] : 0)) & 255;
      const start = x++;
      while (x < width && ((data[base + x] - (y ? data[base + x - width] : 0)) & 255) === value) x++;
      runs.add(value, x - start);
    }
  }
  runs.flush();
  out.put(CODES[END], BITS[END]);
  out.close();
  for (const word of [runs.b, runs.a]) {
    out.byte(word >>> 8);
    out.byte(word & 255);
  }
  return out.bytes.subarray(0, out.size);
}

function chunk(kind, body) {
  const bytes = new Uint8Array(12 + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, body.length);
  for (let i = 0; i < 4; i++) bytes[4 + i] = kind.charCodeAt(i);
  bytes.set(body, 8);
  let crc = 0xffffffff;
  for (let i = 4; i < bytes.length - 4; i++) crc = CRC[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
  view.setUint32(bytes.length - 4, ~crc >>> 0);
  return bytes;
}

// The bytes of a PNG, at once: also while the page is being closed.
export function encodeLabel(label) {
  const head = new Uint8Array(13);
  const view = new DataView(head.buffer);
  view.setUint32(0, label.width);
  view.setUint32(4, label.height);
  head[8] = 8;
  const parts = [
    Uint8Array.from(SIGNATURE), chunk('IHDR', head), chunk('IDAT', deflateRows(label)),
    chunk('IEND', new Uint8Array(0)),
  ];
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function paeth(a, b, c) {
  const [pa, pb, pc] = [Math.abs(b - c), Math.abs(a - c), Math.abs(a + b - 2 * c)];
  return pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
}

function unfilter(raw, width, height) {
  const data = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    const kind = raw[y * (width + 1)];
    const line = raw.subarray(y * (width + 1) + 1, (y + 1) * (width + 1));
    const base = y * width;
    if (kind === 0) {
      data.set(line, base);
      continue;
    }
    for (let x = 0; x < width; x++) {
      const left = x ? data[base + x - 1] : 0;
      const above = y ? data[base + x - width] : 0;
      const corner = x && y ? data[base + x - width - 1] : 0;
      const guess = [0, left, above, (left + above) >> 1, paeth(left, above, corner)][kind];
      data[base + x] = line[x] + guess;
    }
  }
  return data;
}

// The label in an 8-bit gray PNG; of a palette, its numbers.
export async function decodeLabel(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const width = view.getUint32(16);
  const height = view.getUint32(20);
  if (view.getUint8(24) !== 8 || ![0, 3].includes(view.getUint8(25)) || view.getUint8(28)) {
    throw new Error('a label is an 8-bit gray PNG');
  }
  const parts = [];
  for (let at = 8; at < bytes.length;) {
    const size = view.getUint32(at);
    const kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (kind === 'IDAT') parts.push(bytes.subarray(at + 8, at + 8 + size));
    at += 12 + size;
  }
  const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream('deflate'));
  const raw = new Uint8Array(await new Response(stream).arrayBuffer());
  return { width, height, data: unfilter(raw, width, height) };
}

// A number that tells two labels apart (FNV-1a over words of four pixels).
export function fingerprint({ width, height, data }) {
  let hash = 0x811c9dc5 ^ width;
  const words = new Uint32Array(data.buffer, data.byteOffset, data.length >> 2);
  for (let i = 0; i < words.length; i++) hash = Math.imul(hash ^ words[i], 0x01000193);
  for (let i = words.length * 4; i < data.length; i++) hash = Math.imul(hash ^ data[i], 0x01000193);
  return `${width}x${height}:${hash >>> 0}`;
}
