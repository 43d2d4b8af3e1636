// How finely the cloud is drawn: sharp when still; while it moves, as coarsely as this machine needs to keep up.

const SLOW = 28; // ms between frames: less than 36 in a second
const STILL = 220; // ms without a frame, after which it is drawn sharply again
const FRAMES = 6; // one after another, whose middle one is judged: a single slow one is no reason
const COARSER = 0.75, COARSEST = 0.5; // pixels drawn for each CSS pixel and side

export class Pace {
  constructor(full) {
    this.full = this.ratio = this.moving = full;
    this.gaps = [];
    this.judged = false;
    this.before = null; // when the last frame was drawn, if nothing came between
    this.since = 0;
  }

  // Told of every tick and whether it drew; gives the ratio of the next frame.
  next(now, drew) {
    if (!drew) {
      if (this.before !== null) this.ended();
      if (now - this.since > STILL) this.ratio = this.full;
      return this.ratio;
    }
    if (this.before !== null) {
      this.gaps.push(now - this.before);
      this.ratio = this.moving;
    }
    this.before = this.since = now;
    if (this.gaps.length >= FRAMES) this.judge();
    return this.ratio;
  }

  // The next movement tries what is one step finer: a machine is not always busy.
  ended() {
    if (this.judged) this.moving = Math.min(this.full, this.moving / COARSER);
    Object.assign(this, { before: null, gaps: [], judged: false });
  }

  judge() {
    const middle = this.gaps.sort((a, b) => a - b)[Math.floor(FRAMES / 2)];
    this.gaps = [];
    this.judged = true;
    if (middle > SLOW) this.moving = Math.max(Math.min(COARSEST, this.full), COARSER * this.moving);
  }
}
