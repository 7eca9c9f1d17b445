// Two browsers drew in one picture, or its file was changed meanwhile: a person looks at both, and says which stays.

import { t } from './words.js';

const byId = (id) => document.getElementById(id);

export class Conflicts {
  constructor({ bench }) {
    Object.assign(this, { bench, job: null });
    byId('keep-mine').addEventListener('click', () => this.end(true));
    byId('take-theirs').addEventListener('click', () => this.end(false));
    for (const radio of document.querySelectorAll('[name=whose]')) {
      radio.addEventListener('change', () => this.look());
    }
  }

  // Nothing is drawn while there are two versions.
  async meet(job) {
    this.job = job;
    byId('conflict-words').textContent = t(job.theirs.sameFile ? 'conflict' : 'conflict_file', { name: job.name });
    document.querySelector('[name=whose][value=mine]').checked = true;
    byId('conflict').hidden = false;
    if (!job.theirs.sameFile) this.bench.isReady = false; // Another picture is to be seen.
    if (this.bench.picture?.name !== job.name || !job.theirs.sameFile) {
      await this.bench.open(job.name);
    }
    this.bench.tools.drop();
    this.bench.isReady = false;
    byId('keep-mine').focus();
  }

  look() {
    const theirs = document.querySelector('[name=whose][value=theirs]').checked;
    const shown = this.bench.picture?.name === this.job.name;
    if (shown) this.bench.painter.setLabel(theirs ? this.job.theirs.label : this.job.label);
  }

  async end(mine) {
    const { job, bench } = this;
    this.job = null;
    byId('conflict').hidden = true;
    const shown = bench.picture?.name === job.name;
    if (shown) bench.revision = job.theirs.revision;
    bench.saver.resolve(job.name, mine);
    if (shown && mine) {
      bench.isReady = true;
      bench.painter.setLabel(job.label);
    } else if (shown) {
      await bench.open(job.name); // Ready once theirs is there.
    }
    if (shown) bench.stage.focus();
    const next = [...bench.saver.jobs.values()].find((other) => other.theirs);
    if (next) await this.meet(next);
  }
}
