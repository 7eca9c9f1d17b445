// What the server has not got yet, kept in this browser: written where the server does not answer
// and while the page is being closed, sent when the page is opened again.

const PREFIX = 'hsnet draft ';

export class Drafts {
  constructor(folder) {
    this.prefix = `${PREFIX}${JSON.stringify(folder)} `;
  }

  // `bytes` of a label; null where nothing was drawn. Says whether there was room.
  write(name, bytes, rest) {
    let text = '';
    for (let i = 0; i < (bytes?.length ?? 0); i += 8192) {
      text += String.fromCharCode(...bytes.subarray(i, i + 8192));
    }
    try {
      const png = bytes && btoa(text);
      localStorage.setItem(this.prefix + name, JSON.stringify({ ...rest, png }));
      return true;
    } catch {
      return false;
    }
  }

  remove(name) {
    localStorage.removeItem(this.prefix + name);
  }

  // All that is kept, [{name, bytes, ...rest}].
  read() {
    const found = [];
    for (let i = 0; i < localStorage.length; i++) {
      const key = localStorage.key(i);
      if (!key.startsWith(this.prefix)) continue;
      try {
        const { png, ...rest } = JSON.parse(localStorage.getItem(key));
        const bytes = png && Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
        found.push({ name: key.slice(this.prefix.length), bytes, ...rest });
      } catch {
        // Not written by this page: left alone.
      }
    }
    return found;
  }
}
