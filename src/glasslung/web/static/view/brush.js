// The brush: a disc in one plane, painted into the drawing of a pane; every stroke can be undone and redone.

import { IN_PLANE } from "view/pane";

const TEXTURE_OF_DRAWINGS = 7;  // the unit on which NiiVue keeps its drawing

export class Brush {
  // pane: the scan that is corrected. label 0 erases. least: HU below which nothing is painted; lungs: a mask
  // outside of which nothing is. changed() after each stroke.
  constructor(pane, changed) {
    Object.assign(this, { pane, changed, label: 1, mm: 8, least: null, lungs: null, done: [], undone: [] });
    this.ring = document.createElement("div");
    this.ring.className = "brush";
    this.ring.hidden = true;
    pane.box.append(this.ring);
  }

  remove() { this.ring.remove(); }
  hide() { this.ring.hidden = true; }

  follow(event, under) {
    this.ring.hidden = !under;
    if (!under) return;
    const slice = this.pane.nv.screenSlices[under.tile];
    const size = Math.max(3, this.mm * Math.abs(slice.leftTopWidthHeight[2] / slice.fovMM[0]) / (this.pane.nv.uiData.dpr || 1));
    const rect = this.pane.box.getBoundingClientRect();
    Object.assign(this.ring.style, {
      width: `${size}px`, height: `${size}px`, left: `${event.clientX - rect.left - size / 2}px`, top: `${event.clientY - rect.top - size / 2}px`,
      borderStyle: this.label === 0 ? "dashed" : "solid",
    });
  }

  begin(under) {
    this.stroke = new Map();
    this.last = null;
    this.plane = under.plane;
    this.go(under);
  }

  // One disc here, and discs along the way from the place before.
  go(under) {
    const { nv } = this.pane;
    const now = nv.frac2vox(under.frac), from = this.last || now;
    const steps = Math.max(1, ...now.map((value, axis) => Math.abs(value - from[axis])));
    for (let k = this.last ? 1 : 0; k <= steps; k++) this.disc(now.map((value, axis) => Math.round(from[axis] + ((value - from[axis]) * k) / steps)));
    this.last = now;
    this.upload();
  }

  disc(centre) {
    const { nv } = this.pane, { dims, pixDims } = nv.back;
    const [across, down] = IN_PLANE[this.plane];
    const reach = (axis) => Math.floor(this.mm / 2 / pixDims[axis + 1] + 0.5);
    for (let i = -reach(across); i <= reach(across); i++) {
      for (let j = -reach(down); j <= reach(down); j++) {
        if (Math.hypot(i * pixDims[across + 1], j * pixDims[down + 1]) > Math.max(this.mm / 2, 0.51 * Math.min(pixDims[across + 1], pixDims[down + 1]))) continue;
        const at = [...centre];
        at[across] += i;
        at[down] += j;
        if (at.every((value, axis) => value >= 0 && value < dims[axis + 1])) this.put(at);
      }
    }
  }

  put(at) {
    const { nv } = this.pane, { dims } = nv.back;
    const index = at[0] + dims[1] * (at[1] + dims[2] * at[2]);
    const before = nv.drawBitmap[index];
    if (before === this.label) return;
    if (this.label && this.least !== null && nv.volumes[0].getValue(...at) < this.least) return;
    if (this.label && this.lungs && !this.lungs.getValue(...at)) return;
    if (!this.stroke.has(index)) this.stroke.set(index, before);
    nv.drawBitmap[index] = this.label;
    this.box = this.box ? this.box.map(([low, high], axis) => [Math.min(low, at[axis]), Math.max(high, at[axis])]) : at.map((value) => [value, value]);
  }

  // Only what changed goes to the graphics memory: a whole scan's drawing is a hundred megabytes.
  upload() {
    if (!this.box) return;
    const { nv } = this.pane, { gl } = nv, { dims } = nv.back;
    const [x, y, z] = this.box, size = this.box.map(([low, high]) => high - low + 1);
    const part = new Uint8Array(size[0] * size[1] * size[2]);
    let n = 0;
    for (let k = z[0]; k <= z[1]; k++) {
      for (let j = y[0]; j <= y[1]; j++) {
        const row = dims[1] * (j + dims[2] * k);
        part.set(nv.drawBitmap.subarray(row + x[0], row + x[1] + 1), n);
        n += size[0];
      }
    }
    gl.activeTexture(gl.TEXTURE0 + TEXTURE_OF_DRAWINGS);
    gl.bindTexture(gl.TEXTURE_3D, nv.drawTexture);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.texSubImage3D(gl.TEXTURE_3D, 0, x[0], y[0], z[0], ...size, gl.RED, gl.UNSIGNED_BYTE, part);
    this.box = null;
    nv.drawScene();
  }

  end() {
    if (this.stroke?.size) {
      const { drawBitmap } = this.pane.nv;
      const at = [...this.stroke.keys()];
      this.done.push({ at, before: [...this.stroke.values()], after: at.map((index) => drawBitmap[index]) });
      this.undone = [];
    }
    this.stroke = null;
    this.changed();
  }

  undo() { this.again(this.done, this.undone, "before"); }
  redo() { this.again(this.undone, this.done, "after"); }

  again(from, to, which) {
    const one = from.pop();
    if (!one) return;
    const { nv } = this.pane, { dims } = nv.back;
    one.at.forEach((index, n) => {
      nv.drawBitmap[index] = one[which][n];
      const at = [index % dims[1], Math.floor(index / dims[1]) % dims[2], Math.floor(index / (dims[1] * dims[2]))];
      this.box = this.box ? this.box.map(([low, high], axis) => [Math.min(low, at[axis]), Math.max(high, at[axis])]) : at.map((value) => [value, value]);
    });
    this.upload();
    to.push(one);
    this.changed();
  }
}
