// Brings what was drawn and decided to the server, one thing after the other, in the background.
//
// A job is what one picture still has to say: its label, whether it is to be an example, a decision.
// It stays until the server has it: over a server that is gone for a while, over a closed page (see
// drafts.js), over another browser that was first (a conflict, which a person decides).

import * as api from './api.js';
import { decode, encode } from './canvas/codec.js';
import { encodeLabel } from './canvas/png.js';
import { emptyLabel } from './canvas/raster.js';

const SOON = 300; // ms after a stroke
const PAUSE = 1200; // ms, in a support: the other pictures are segmented again
const LONGEST_WAIT = 5000;
const LEAVING_BYTES = 60_000;

function isOpen({ dirty, example, decision }) {
  return dirty || example !== undefined || decision !== undefined;
}

// What is no label is left alone; while the server is gone, so are the files that decode.
async function decodeDraft(bytes) {
  for (;;) {
    try {
      return await decode(bytes);
    } catch (error) {
      if (error.status !== 0) return null;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}

export class Saver {
  // Called: `saved(picture)`; `status(word)`: 'saved', 'saving', 'offline', 'unkept' (and this
  // browser has no room for it), 'refused' or 'held' (by a conflict);
  // `conflict(job)`, whose `theirs` has what the other stored; `failed(name, message)`.
  constructor({ drafts, saved, status, conflict, failed }) {
    Object.assign(this, { drafts, saved, status, conflict, failed });
    this.jobs = new Map();
    this.running = false;
    this.wait = 0;
  }

  job(name, { revision, mark = null, file = null }) {
    if (!this.jobs.has(name)) {
      this.jobs.set(name, {
        name, revision, base: mark, file, label: null, version: 0, dirty: false, support: false,
        first: null, example: undefined, decision: undefined, due: 0, theirs: null, sent: new Set(),
      });
    }
    return this.jobs.get(name);
  }

  // A label has changed; it is read when it is sent.
  // `soon`: a stroke among others, which is sent when there is a pause.
  draw(name, label, at, { support = false, first = null, soon = false } = {}) {
    const job = this.job(name, at);
    Object.assign(job, { label, dirty: true, version: job.version + 1 });
    if (support) Object.assign(job, { support, first });
    if (job.decision === 'rejected') job.decision = undefined; // What is drawn anew is not.
    job.due = soon ? performance.now() + (support ? PAUSE : SOON) : 0;
    this.go();
  }

  decide(name, decision, at) {
    const job = this.job(name, at);
    Object.assign(job, { decision, due: 0 });
    this.go();
  }

  useAsExample(name, example, at) {
    const job = this.job(name, at);
    Object.assign(job, { example, due: 0 });
    this.go();
  }

  // Sends without delay: the page is hidden, or the server is there again.
  hurry() {
    for (const job of this.jobs.values()) job.due = 0;
    this.wait = 0;
    this.go();
  }

  go() {
    if (this.jobs.size) this.status(this.state ?? 'saving');
    if (this.running) return;
    clearTimeout(this.timer);
    const ready = [...this.jobs.values()].filter((job) => !job.theirs);
    if (!ready.length) {
      this.status(this.jobs.size ? 'held' : 'saved');
      return;
    }
    const next = ready.reduce((a, b) => (b.due < a.due ? b : a));
    const rest = Math.max(next.due - performance.now(), this.wait);
    if (rest > 0) this.timer = setTimeout(() => this.run(next), rest);
    else this.run(next);
  }

  async run(job) {
    this.running = true;
    try {
      if (job.dirty) await this.sendLabel(job);
      else if (job.example !== undefined) await this.sendExample(job);
      else if (job.decision !== undefined) await this.sendDecision(job);
      Object.assign(this, { wait: 0, state: undefined });
      if (!isOpen(job)) this.forget(job.name);
    } catch (error) {
      await this.recover(job, error);
    } finally {
      this.running = false;
      this.go();
    }
  }

  forget(name) {
    this.jobs.delete(name);
    this.drafts.remove(name);
  }

  async sendLabel(job) {
    const { version, support, first } = job;
    const { bytes, mark } = await encode(job.label);
    job.bytes = bytes;
    job.sent.add(mark);
    const options = { revision: job.revision, support, first };
    const picture = await api.putMask(job.name, bytes, options);
    Object.assign(job, { revision: picture.revision, base: mark });
    if (job.version === version) Object.assign(job, { dirty: false, support: false });
    this.saved(picture, mark);
  }

  async sendExample(job) {
    const { example } = job;
    const picture = await api.useAsSupport(job.name, example);
    job.revision = picture.revision;
    if (job.example === example) job.example = undefined;
    this.saved(picture, job.base);
  }

  async sendDecision(job) {
    const { decision } = job;
    const picture = await api.decide(job.name, decision);
    job.revision = picture.revision;
    if (job.decision === decision) job.decision = undefined;
    this.saved(picture, job.base);
  }

  async recover(job, error) {
    const { status } = error;
    if (status === 409 && job.dirty) return this.meet(job);
    // Without a status it is nothing that the server said: it is tried again, too.
    if (!status || [403, 408, 429].includes(status) || status >= 500) {
      const kept = this.keep(job, job.bytes);
      this.state = status === 403 ? 'refused' : kept ? 'offline' : 'unkept';
      this.wait = Math.min(LONGEST_WAIT, Math.max(500, this.wait * 2));
      // A disk that is full says so and stays a reason to try again.
      if (error.message && !(status < 500)) this.failed(job.name, error.message);
      return undefined;
    }
    // Asking again would not help now: the picture is gone, or the request is none. What was drawn
    // stays in this browser, for when the picture is there again.
    if (job.dirty) this.keep(job, job.bytes);
    else this.drafts.remove(job.name);
    this.jobs.delete(job.name);
    this.failed(job.name, error.message || String(error));
    return undefined;
  }

  // The picture has another revision than the one that was drawn upon.
  async meet(job) {
    try {
      const [picture, mask] = await Promise.all([api.getPicture(job.name), api.getMask(job.name)]);
      const revision = mask.revision ?? picture.revision;
      const { label, mark } = mask.bytes ? await decode(mask.bytes) : { label: null, mark: null };
      // What the model found gives way; so does what this page sent without hearing of it.
      const sameFile = !job.file || job.file === picture.file;
      const known = picture.state !== 'drawn' || mark === job.base || job.sent.has(mark);
      if (sameFile && known) {
        Object.assign(job, { revision, due: 0 });
        return;
      }
      const empty = () => emptyLabel(picture.width, picture.height);
      job.theirs = { picture, label: label ?? empty(), mark, revision, sameFile };
      this.conflict(job);
    } catch (error) {
      if (error.status === 409) throw error;
      await this.recover(job, error);
    }
  }

  // Waits until all is stored that can be.
  async settled() {
    const open = () => [...this.jobs.values()].some((job) => !job.theirs);
    this.hurry();
    while (open() && !this.state) await new Promise((resolve) => setTimeout(resolve, 50));
  }

  // Ends a conflict: mine is stored over theirs, or mine is let go.
  resolve(name, mine) {
    const job = this.jobs.get(name);
    if (!job?.theirs) return;
    const { revision, picture } = job.theirs;
    if (mine) Object.assign(job, { revision, file: picture.file, theirs: null, due: 0 });
    else this.forget(name);
    this.go();
  }

  // Writes a job down in this browser; says whether there was room.
  keep(job, bytes = null) {
    const { revision, base, file, support, example, decision } = job;
    const drawn = job.dirty ? bytes ?? encodeLabel(job.label) : null;
    return this.drafts.write(job.name, drawn, { revision, base, file, support, example, decision });
  }

  // Says whether all that the server has not got is kept in this browser.
  keepAll() {
    return [...this.jobs.values()].map((job) => this.keep(job)).every(Boolean);
  }

  // The page is being closed: nothing can be waited for any more.
  leave() {
    let room = LEAVING_BYTES;
    for (const job of this.jobs.values()) {
      if (!job.dirty) {
        this.keep(job);
        if (job.decision !== undefined) api.decideAndLeave(job.name, job.decision);
        continue;
      }
      const bytes = encodeLabel(job.label);
      this.keep(job, bytes);
      if (bytes.length > room || job.theirs) continue;
      room -= bytes.length;
      api.putMaskAndLeave(job.name, bytes, { ...job, first: null });
    }
  }

  // Takes up what an earlier page could not bring.
  async takeUp() {
    for (const { name, bytes, revision, base, file, ...rest } of this.drafts.read()) {
      if (this.jobs.has(name)) continue;
      const drawn = bytes && await decodeDraft(bytes);
      if (bytes && !drawn) continue; // Not written by this page: left alone.
      const { support, example, decision } = rest;
      const job = this.job(name, { revision, mark: base, file });
      Object.assign(job, { support, example, decision });
      if (!drawn) continue;
      Object.assign(job, { label: drawn.label, dirty: true, version: 1 });
      job.sent.add(drawn.mark);
    }
    this.go();
  }
}
