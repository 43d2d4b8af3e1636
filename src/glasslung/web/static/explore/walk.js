// What a model puts between two pictures: decoded by the server, or here by a small decoder.
import { Decoder, between } from "explore/decoder";
import { floats } from "explore/scene";

export const STEPS = 33;

export class Walks {
  constructor(scene) {
    this.scene = scene;
    this.decoder = scene.walks.decoder ? new Decoder(scene.walks.decoder) : null;
    this.map = scene.path ? unpackedMap(scene) : null;
    this.turn = 0;
  }

  get possible() {
    return this.scene.walks.live || this.decoder !== null;
  }

  // Frames (canvases) arrive coarse to fine; `told` is called after each. A newer walk ends an older one.
  async between(first, second, way, told) {
    const turn = ++this.turn;
    const frames = new Array(STEPS).fill(null);
    if (this.scene.walks.live) {
      const strip = await loaded(`walk/${first}/${second}/${way}/${STEPS}.png`);
      if (turn !== this.turn) return;
      const side = strip.width;
      frames.forEach((_, at) => {
        const { canvas, pen } = blank(side);
        pen.drawImage(strip, 0, at * side, side, side, 0, 0, side, side);
        frames[at] = canvas;
      });
      told(frames, true);
      return;
    }
    for (const at of coarseToFine()) {
      const code = between(this.decoder.code(first), this.decoder.code(second), at / (STEPS - 1), way);
      const grey = await this.decoder.decode(code);
      if (turn !== this.turn) return;
      frames[at] = greyCanvas(grey, this.decoder.size);
      told(frames, frames.every(Boolean));
    }
  }

  stop() {
    this.turn += 1;
  }

  // Where the way runs in the layout; with t-SNE nobody knows, and it is drawn straight.
  path(first, second, way) {
    const places = this.scene.places;
    const ends = [first, second].map((row) => places.subarray(3 * row, 3 * row + 3));
    return Array.from({ length: STEPS }, (_, at) => {
      const share = at / (STEPS - 1);
      if (!this.map) return [0, 1, 2].map((axis) => (1 - share) * ends[0][axis] + share * ends[1][axis]);
      return this.map(between(this.map.code(first), this.map.code(second), share, way));
    });
  }

  // The words a walk is told in. Never a progression: that takes labelled stages and a measured change along the way.
  words(first, second) {
    const stages = this.scene.walks.stages;
    const text = (row) => this.scene.column("stage").values[this.scene.column("stage").raw[row]];
    if (stages && stages[first] >= 0 && stages[second] >= 0 && stages[first] !== stages[second]) {
      return {
        title: `Interpolation: ${text(first)} to ${text(second)}`,
        note: "Both stages are labelled, but the two pictures may be of different patients, and what changes between them was "
          + "not measured: this is the model's way, and nobody's observed course.",
      };
    }
    return {
      title: "Interpolation",
      note: "What the model puts between two pictures. Not a course of the disease: no stage is labelled at both ends.",
    };
  }
}

function unpackedMap(scene) {
  const matrix = floats(scene.path.matrix), offset = floats(scene.path.offset), codes = floats(scene.path.codes);
  const width = offset.length;
  const map = (code) => [0, 1, 2].map((axis) => {
    let sum = 0;
    for (let one = 0; one < width; one++) sum += (code[one] - offset[one]) * matrix[3 * one + axis];
    return sum;
  });
  map.code = (row) => codes.subarray(row * width, (row + 1) * width);
  return map;
}

function coarseToFine() {
  const order = [0, STEPS - 1];
  for (let step = (STEPS - 1) / 2; step >= 1; step /= 2) {
    for (let at = step; at < STEPS; at += 2 * step) order.push(at);
  }
  return order;
}

export function blank(side) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  return { canvas, pen: canvas.getContext("2d") };
}

export function greyCanvas(grey, side) {
  const { canvas, pen } = blank(side), picture = pen.createImageData(side, side);
  for (let at = 0; at < grey.length; at++) picture.data.set([grey[at], grey[at], grey[at], 255], 4 * at);
  pen.putImageData(picture, 0, 0);
  return canvas;
}

export function loaded(url) {
  return new Promise((done, failed) => {
    const image = new Image();
    image.onload = () => done(image);
    image.onerror = () => failed(new Error("a picture could not be loaded; is the explorer still running?"));
    image.src = url;
  });
}
