// A small network run in the page: the decoder of an auto-encoder, whose steps `pagedecoder.py` wrote down.
import { floats } from "explore/scene";

const SLICE_MS = 7, MOST_MS = 250; // work at one go: the cloud stays smooth while a walk is decoded

export class Decoder {
  constructor(told) {
    Object.assign(this, { steps: told.steps, width: told.width, size: told.size });
    this.weights = floats(told.weights);
    this.codes = floats(told.codes);
  }

  code(row) {
    return this.codes.subarray(row * this.width, (row + 1) * this.width);
  }

  // A code -> grey values 0 to 255, with a rest between portions of work.
  async decode(code) {
    let now = { data: Float32Array.from(code), channels: code.length, height: 1, width: 1 };
    const clock = { since: performance.now(), slice: SLICE_MS };
    for (const step of this.steps) now = await this.run(step, now, clock);
    return Uint8ClampedArray.from(now.data, (value) => Math.round(Math.min(1, Math.max(0, value)) * 255));
  }

  async run(step, now, clock) {
    if (step.kind === "dense") return this.dense(step, now);
    if (step.kind === "conv") return this.conv(step, now, clock);
    if (step.kind === "double") return doubled(now);
    if (step.kind === "maps") return { data: now.data, channels: step.channels, height: step.height, width: step.width };
    if (step.kind === "leaky") return mapped(now, (value) => (value < 0 ? step.slope * value : value));
    if (step.kind === "sigmoid") return mapped(now, (value) => 1 / (1 + Math.exp(-value)));
    throw new Error(`the page knows no step ${step.kind}`);
  }

  dense(step, now) {
    const out = new Float32Array(step.out), { weights } = this;
    for (let unit = 0; unit < step.out; unit++) {
      let sum = weights[step.bias + unit];
      const start = step.weight + unit * step.in;
      for (let one = 0; one < step.in; one++) sum += weights[start + one] * now.data[one];
      out[unit] = sum;
    }
    return { data: out, channels: step.out, height: 1, width: 1 };
  }

  // 3 x 3 with a border of zeros: one output channel after another, tap by tap over whole rows.
  async conv(step, now, clock) {
    const { height, width } = now, plane = height * width, { weights } = this;
    const out = new Float32Array(step.out * plane);
    for (let channel = 0; channel < step.out; channel++) {
      const target = out.subarray(channel * plane, (channel + 1) * plane).fill(weights[step.bias + channel]);
      for (let before = 0; before < step.in; before++) {
        const source = now.data.subarray(before * plane, (before + 1) * plane);
        for (let tap = 0; tap < 9; tap++) {
          const weight = weights[step.weight + (channel * step.in + before) * 9 + tap];
          added(target, source, weight, Math.floor(tap / 3) - 1, (tap % 3) - 1, height, width);
        }
      }
      if (performance.now() - clock.since > clock.slice) await rested(clock);
    }
    return { data: out, channels: step.out, height, width };
  }
}

// As long a portion as the rest took: where drawing is slow, half of the time still goes into decoding.
async function rested(clock) {
  const before = performance.now();
  await new Promise((go) => setTimeout(go));
  clock.since = performance.now();
  clock.slice = Math.min(MOST_MS, Math.max(SLICE_MS, clock.since - before));
}

function added(target, source, weight, down, right, height, width) {
  const top = Math.max(0, -down), bottom = Math.min(height, height - down);
  const left = Math.max(0, -right), end = Math.min(width, width - right);
  for (let row = top; row < bottom; row++) {
    const into = row * width, from = (row + down) * width + right;
    for (let column = left; column < end; column++) target[into + column] += weight * source[from + column];
  }
}

function doubled(now) {
  const { channels, height, width } = now, wide = 2 * width, data = new Float32Array(4 * now.data.length);
  for (let channel = 0; channel < channels; channel++) {
    for (let row = 0; row < 2 * height; row++) {
      const from = (channel * height + (row >> 1)) * width, into = (channel * 2 * height + row) * wide;
      for (let column = 0; column < wide; column++) data[into + column] = now.data[from + (column >> 1)];
    }
  }
  return { data, channels, height: 2 * height, width: wide };
}

function mapped(now, change) {
  return { ...now, data: now.data.map(change) };
}

// Codes between two, linear or along the great circle between their directions: as `walks.between` has it.
export function between(first, second, share, way) {
  const straight = first.map((value, at) => (1 - share) * value + share * second[at]);
  const length = (code) => Math.sqrt(code.reduce((sum, value) => sum + value * value, 0));
  const [a, b] = [length(first), length(second)];
  if (way === "linear" || a === 0 || b === 0) return straight;
  const cosine = first.reduce((sum, value, at) => sum + (value / a) * (second[at] / b), 0);
  const angle = Math.acos(Math.min(1, Math.max(-1, cosine)));
  if (Math.sin(angle) < 1e-6 || cosine < -1 + 1e-6) return straight;
  const [from, to] = [Math.sin((1 - share) * angle) / Math.sin(angle), Math.sin(share * angle) / Math.sin(angle)];
  return first.map((value, at) => from * value + to * second[at]);
}
