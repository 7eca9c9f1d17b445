// The open picture: shown, drawn on, decided on, followed by the next.

import * as api from './api.js';
import { drawHints } from './canvas/hints.js';
import { Painter } from './canvas/paint.js';
import { fingerprint } from './canvas/png.js';
import { Pointer } from './canvas/pointer.js';
import { isEmpty } from './canvas/raster.js';
import { View } from './canvas/view.js';
import { Editor } from './editor.js';
import { markOf } from './gallery.js';
import { imageIfAny, imageOf, readPicture } from './opening.js';
import { say, showPicture } from './panel.js';
import { Tools } from './tools.js';
import { t } from './words.js';

const LEFT = 4; // pictures whose strokes are kept
const byId = (id) => document.getElementById(id);

export class Workbench {
  // `look()` is called when zoom, tool, history or class has changed.
  constructor({ gallery, look }) {
    Object.assign(this, { gallery, look, saver: null, classes: [], picture: null, opening: 0 });
    Object.assign(this, { opened: null, left: new Map() });
    this.stage = byId('stage');
    this.view = new View();
    this.editor = new Editor({
      shown: (box) => this.painter.labelChanged(box),
      kept: () => this.drawn(),
    });
    this.tools = new Tools({
      editor: this.editor, view: this.view, ready: () => this.isReady, hint: () => this.hint(),
    });
    this.painter = new Painter({
      photo: byId('photo'), mask: byId('mask'), view: this.view, after: () => this.painted(),
    });
    this.pointer = new Pointer({
      stage: this.stage, view: this.view, draw: this.tools, changed: () => this.moved(),
    });
    this.isReady = false;
    new ResizeObserver(() => this.resize()).observe(this.stage);
  }

  resize() {
    const { clientWidth, clientHeight } = this.stage;
    if (!clientWidth || !clientHeight) return;
    // Beyond two million pixels a screen's own fineness is not worth the time.
    const most = Math.sqrt(2.5e6 / (clientWidth * clientHeight));
    const ratio = Math.min(window.devicePixelRatio || 1, Math.max(1, most));
    this.view.setScreen(clientWidth, clientHeight);
    const hints = byId('hints');
    [hints.width, hints.height] = [Math.round(clientWidth * ratio), Math.round(clientHeight * ratio)];
    this.painter.resize(clientWidth, clientHeight, ratio);
    this.moved();
  }

  moved() {
    this.painter.viewChanged();
    this.look();
  }

  hint() {
    this.painter.ask();
  }

  // After every frame: what is not painted yet, and where the picture is (for tests and readers).
  painted() {
    const color = this.classes.find(({ number }) => number === this.tools.value)?.color ?? '#111111';
    drawHints(byId('hints'), this.view, this.painter.ratio, this.tools.describe(color));
    const { scale, x, y } = this.view;
    this.stage.dataset.view = `${scale} ${x} ${y}`;
    this.showWhere();
  }

  showWhere() {
    const { at } = this.tools;
    const { label } = this.editor;
    const [x, y] = at ? [Math.floor(at.x), Math.floor(at.y)] : [-1, -1];
    let words = '';
    if (label && x >= 0 && y >= 0 && x < label.width && y < label.height) {
      const number = label.data[y * label.width + x];
      const one = this.classes.find((each) => each.number === number);
      words = `${x}, ${y} · ${one ? `${number} ${one.name}` : t('background')}`;
    }
    if (byId('where').textContent !== words) byId('where').textContent = words;
  }

  setClasses(classes) {
    if (JSON.stringify(classes) === JSON.stringify(this.classes)) return;
    this.classes = classes;
    this.painter.setColors(classes);
    if (!classes.some(({ number }) => number === this.tools.number)) {
      this.tools.number = classes[0]?.number ?? 1;
    }
    if (this.picture) showPicture(this.picture, classes);
  }

  async open(name) {
    if (name === this.picture?.name && this.isReady) return;
    const turn = ++this.opening;
    this.tools.drop();
    this.isReady = false;
    this.stage.setAttribute('aria-busy', 'true');
    this.gallery.setCurrent(name);
    const listed = this.gallery.picture(name);
    if (listed) this.show(listed);
    try {
      if (listed?.width) imageOf(listed).catch(() => {}); // beside its mask
      const read = await this.read(name);
      const bitmap = await imageIfAny(read.picture);
      if (turn !== this.opening) return;
      this.take(read, bitmap);
      say(t('said_open', { name, state: t(`mark_${markOf(read.picture)}`) }), 'quiet');
      this.prepareNext();
    } catch (error) {
      if (turn !== this.opening) return;
      const message = error.status === 0 ? t('gone') : error.message || t('unknown');
      say(t('failed', { name, message }), 'error');
      if (error.status === 0 || error.status >= 500) {
        setTimeout(() => turn === this.opening && this.open(name), 2000);
      }
    }
    if (turn === this.opening) this.stage.removeAttribute('aria-busy');
  }

  // What is on its way to the server is newer than what comes from there.
  async read(name) {
    const job = this.saver.jobs.get(name);
    if (!job?.label) return readPicture(name);
    const picture = await api.getPicture(name);
    const { label } = this.saver.jobs.get(name) ?? job;
    return { picture, label, revision: job.revision, mark: job.base };
  }

  take({ picture, label, revision, mark }, bitmap) {
    // A first brush that fits the first picture; afterwards it is the person's.
    this.tools.size ??= Math.max(3, Math.round(Math.max(picture.width, picture.height) / 25));
    Object.assign(this, { picture, revision, mark, file: picture.file });
    this.editor.open(label, this.historyOf(picture.name, label, mark));
    this.view.setPicture(picture.width || 1, picture.height || 1);
    this.painter.setPicture(bitmap, label);
    this.isReady = picture.width > 0 && bitmap !== null;
    this.show(picture);
    this.look();
  }

  // Strokes of a picture that was left can be undone when one comes back, if nobody else changed it.
  historyOf(name, label, mark) {
    const { opened, editor } = this;
    if (opened && opened !== name) {
      this.left.delete(opened);
      this.left.set(opened, { label: editor.label, history: editor.history });
      for (const old of [...this.left.keys()].slice(0, -LEFT)) this.left.delete(old);
    }
    this.opened = name;
    const left = this.left.get(name);
    const same = left && (left.label === label || fingerprint(left.label) === mark);
    return same ? left.history : undefined;
  }

  show(picture) {
    this.picture = picture;
    showPicture(picture, this.classes);
  }

  async prepareNext() {
    try {
      const next = await this.gallery.nextOpen();
      if (next?.width && next.name !== this.picture?.name) await imageOf(next);
    } catch {
      // Asked for again when it is opened.
    }
  }

  at() {
    return { revision: this.revision, mark: this.mark, file: this.file };
  }

  // A stroke is done. A support stays one while it is corrected, and the others follow.
  drawn() {
    const { name, is_support: support } = this.picture;
    this.saver.draw(name, this.editor.label, this.at(), { support, soon: true });
    this.look();
  }

  // The server has stored something of a picture.
  saved(picture, mark) {
    this.gallery.put(picture);
    if (picture.name !== this.picture?.name) return;
    // What is drawn on is the file that is shown.
    if (picture.file === this.file) Object.assign(this, { revision: picture.revision, mark });
    this.show(picture);
  }

  // Somebody else, or the model, may have changed the open picture.
  async follow() {
    const { name } = this.picture ?? {};
    if (!name || !this.isReady || this.saver.jobs.has(name)) return;
    const turn = this.opening;
    const picture = await api.getPicture(name);
    const busy = () => turn !== this.opening || this.saver.jobs.has(name) || this.editor.before;
    const sameFile = picture.file === this.file;
    if ((picture.revision === this.picture.revision && sameFile) || busy()) return;
    if (!sameFile) {
      this.isReady = false;
      return void await this.open(name);
    }
    const read = await readPicture(name);
    if (busy()) return;
    if (read.mark === this.mark) {
      this.revision = read.revision;
      return void this.show(read.picture);
    }
    const drawn = read.picture.state === 'drawn';
    this.replace(read);
    if (drawn) say(t('said_changed', { name }));
  }

  replace({ picture, label, revision, mark }) {
    Object.assign(this, { revision, mark });
    this.editor.open(label);
    this.painter.setLabel(label);
    this.show(picture);
    this.look();
  }

  async reread() {
    const { name } = this.picture;
    const read = await readPicture(name);
    if (name === this.picture.name) this.replace(read);
  }

  async step(by) {
    const next = await this.gallery.step(by);
    if (!next) return void say(t(by > 0 ? 'last' : 'first'));
    await this.open(next.name);
  }

  async nextOpen() {
    const next = await this.gallery.nextOpen();
    if (!next) return void say(t('last'));
    await this.open(next.name);
  }

  // The outline is done: the picture is an example for all others, and the next one comes first.
  async done() {
    if (!this.isReady) return;
    const { name } = this.picture;
    if (isEmpty(this.editor.label)) return void say(t('nothing_drawn'), 'error');
    const next = await this.gallery.nextOpen().catch(() => null);
    if (name !== this.picture.name) return;
    this.saver.draw(name, this.editor.label, this.at(), { support: true, first: next?.name });
    say(t('said_done', { name }));
    if (next && next.name !== name) await this.open(next.name);
  }

  async decide(decision) {
    if (!this.isReady) return;
    const { name, state } = this.picture;
    if (decision === 'accepted' && state === 'waiting' && !this.saver.jobs.get(name)?.label) {
      return void say(t('nothing_to_accept'), 'error');
    }
    const again = this.picture.decision === decision;
    this.saver.decide(name, again ? null : decision, this.at());
    if (again) return;
    say(t(`said_${decision}`, { name }));
    await this.nextOpen();
  }

  toggleSupport() {
    if (!this.picture) return;
    const { name, is_support: is } = this.picture;
    const support = !(this.saver.jobs.get(name)?.example ?? is);
    this.saver.useAsExample(name, support, this.at());
    say(t(support ? 'said_support' : 'said_no_support', { name }));
  }

  async dropDrawing() {
    const { name } = this.picture;
    try {
      await api.dropMask(name);
      this.saver.forget(name);
      await this.reread();
      say(t('dropped'));
    } catch (error) {
      say(error.message || t('gone'), 'error');
    }
  }
}
