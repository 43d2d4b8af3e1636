// One scan on one canvas: its planes, its overlays, where one is, and what the mouse does there.

import { Niivue, NVImage, SLICE_TYPE, SHOW_RENDER } from "niivue";
import { ORDER } from "view/layers";

export const CROSS_MM = 0.6;
const AXIAL = 0, CORONAL = 1, SAGITTAL = 2;
export const IN_PLANE = [[0, 1], [0, 2], [1, 2]];  // the two of x, y, z that a plane shows
const AXIS = [2, 1, 0];  // through which of x, y, z a plane is stepped
const HERO = [
  { sliceType: SLICE_TYPE.AXIAL, position: [0, 0, 0.6, 1] },
  { sliceType: SLICE_TYPE.CORONAL, position: [0.602, 0, 0.398, 0.333] },
  { sliceType: SLICE_TYPE.SAGITTAL, position: [0.602, 0.335, 0.398, 0.333] },
];
export const SOLID_PLACE = { left: "60.2%", top: "67%", width: "39.8%", height: "33%" };  // what HERO leaves free
const SIDES = { [AXIAL]: ["R", "L", "A", "P"], [CORONAL]: ["R", "L", "H", "F"], [SAGITTAL]: ["A", "P", "H", "F"] };
const ONE = { axial: SLICE_TYPE.AXIAL, coronal: SLICE_TYPE.CORONAL, sagittal: SLICE_TYPE.SAGITTAL };
const OPTIONS = {
  isRadiologicalConvention: true, sagittalNoseLeft: true, interactive: false, dragAndDropEnabled: false, isColorbar: false, showLegend: false,
  multiplanarShowRender: SHOW_RENDER.NEVER, crosshairColor: [0.34, 0.78, 0.96, 0.75], crosshairWidth: CROSS_MM,
  crosshairWidthUnit: "mm", crosshairGap: 8, fontColor: [0.86, 0.9, 0.94, 1], fontMinPx: 15, fontSizeScaling: 0.3, isRuler: false, isOrientationTextVisible: false,
  backColor: [0, 0, 0, 1], logLevel: "error", loadingText: "", textHeight: -1,
  viewModeHotKey: "", clipPlaneHotKey: "", cycleClipPlaneHotKey: "",
};

export class Pane {
  // state: what all panes share {case, layers, windows}; heard: what it tells, see Panes
  constructor(state, n, heard) {
    Object.assign(this, { state, n, heard, scan: state.case.scans[n], images: new Map(), coming: new Map() });
    this.box = document.createElement("div");
    this.box.className = "pane";
    this.box.dataset.scan = this.scan.name;
    this.canvas = document.createElement("canvas");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("aria-label", `${this.scan.name}, ${this.scan.label}`);
    this.caption = document.createElement("div");
    this.caption.className = "caption";
    this.bottom = document.createElement("div");
    this.bottom.className = "bottom";
    this.sides = document.createElement("div");
    this.sides.className = "sides";
    this.box.append(this.canvas, this.caption, this.bottom, this.sides);
    this.ready = false;
    this.brush = null;
  }

  async open(host) {
    host.append(this.box);
    this.nv = new Niivue(OPTIONS);
    this.state.layers.teach(this.nv);
    await this.nv.attachToCanvas(this.canvas, true);
    this.facts = await this.ask();
    const { low, high } = this.state.windows;
    const image = await NVImage.loadFromUrl({
      url: `/scan/${this.n}/volume/scan.nii.gz`, name: "scan.nii.gz", colormap: "gray", cal_min: low, cal_max: high, colorbarVisible: false,
    });
    this.nv.addVolume(image);
    this.listen();
    new ResizeObserver(() => requestAnimationFrame(() => this.tell())).observe(this.box);
    this.ready = true;
    await Promise.all(ORDER.map((key) => this.showLayer(key)));
    this.tell();
    return this;
  }

  // What is known of the scan; where a mask is damaged, the scan alone is shown and the damage told.
  async ask() {
    const told = await (await fetch(`/scan/${this.n}/facts.json`)).json();
    if (!told.problem) return told;
    this.heard.say(told.problem);
    return { link: { extent: null, levels: null, how: "" }, corrections: [], relevance_full: null };
  }

  close() {
    this.nv?.cleanup();
    this.nv?.gl?.getExtension("WEBGL_lose_context")?.loseContext();
    this.box.remove();
  }

  // --- overlays ---

  // Opened when it is first seen: a scan's maps are large.
  async showLayer(key) {
    if (!this.ready) return;
    const strength = this.editing && key === "lesions" ? 0 : this.state.layers.strength(key);
    if (strength > 0 && !this.images.has(key) && !this.coming.has(key)) {
      const coming = this.state.layers.open(key, this.n, this.scan, this.facts);
      this.coming.set(key, coming);
      const image = await coming.catch(() => { this.heard.say(`${key} of ${this.scan.name} cannot be shown: its file is damaged`); return null; });
      this.coming.delete(key);
      this.images.set(key, image);
      if (image) this.insert(image);
      return this.showLayer(key);  // it may have been moved meanwhile
    }
    const image = this.images.get(key);
    if (!image || image.opacity === strength) return;
    image.opacity = strength;
    this.refresh();
  }

  insert(image) {
    const before = [...this.images.values()].filter((one) => one && one !== image && ORDER.indexOf(one.layerKey) < ORDER.indexOf(image.layerKey));
    this.nv.addVolume(image);
    this.nv.setVolume(image, 1 + before.length);
  }

  // A layer whose file changed is opened again when it is next seen.
  forget(key) {
    const image = this.images.get(key);
    if (image) this.nv.removeVolume(image);
    this.images.delete(key);
  }

  refresh() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => { this.waiting = 0; this.nv.updateGLVolume(); });
  }

  // Pictures beside scans in Hounsfield units, which no window fits both, keep their own.
  setWindow({ low, high }) {
    if (!this.ready) return;
    if (this.scan.hu !== this.state.case.scans[0].hu) {
      const [own] = this.scan.windows;
      [low, high] = [own.level - own.width / 2, own.level + own.width / 2];
    }
    const image = this.nv.volumes[0];
    image.cal_min = low;
    image.cal_max = high;
    if (this.windowing) return;
    this.windowing = requestAnimationFrame(() => {
      this.windowing = 0;
      this.nv.refreshLayers(image, 0);
      this.nv.drawScene();
      this.tell();
    });
  }

  // --- planes ---

  setPlanes(mode) {
    this.mode = mode;
    if (mode === "planes") {
      this.nv.opts.sliceType = SLICE_TYPE.MULTIPLANAR;
      this.nv.setCustomLayout(HERO);
    } else {
      this.nv.customLayout = null;
      this.nv.setSliceType(ONE[mode]);
    }
    this.tell();
  }

  get place() { return this.nv.frac2mm(this.nv.scene.crosshairPos, 0, true).slice(0, 3); }
  get voxel() { return this.nv.frac2vox(this.nv.scene.crosshairPos); }

  // To a place in RAS mm, kept inside the scan.
  go(mm) {
    if (!this.ready) return;
    const frac = this.nv.mm2frac(mm, 0, true);
    this.nv.scene.crosshairPos = [0, 1, 2].map((axis) => Math.min(Math.max(frac[axis], 0.0001), 0.9999));
    this.nv.drawScene();
    this.tell();
  }

  step(axis, by) {
    const move = [0, 0, 0];
    move[axis] = by;
    this.nv.moveCrosshairInVox(...move);
    this.tell();
    this.heard.moved(this);
  }

  // The cross stays where it is on the screen.
  zoom(factor) {
    const { pan, nearness: zoom } = this;
    const next = Math.min(Math.max(zoom * factor, 1), 12), at = this.flat;
    this.setPan(next === 1 ? [0, 0, 0] : pan.map((mm, axis) => mm + at[axis] * (zoom - next)), next);
    this.heard.zoomed(this);
  }

  // Where the cross is as NiiVue lays planes out, without the scan's tilt.
  get flat() { return [...this.nv.frac2mm(this.nv.scene.crosshairPos)].slice(0, 3); }
  get pan() { return [...this.nv.scene.pan2Dxyzmm].slice(0, 3); }
  get nearness() { return this.nv.scene.pan2Dxyzmm[3]; }
  setPan(pan, zoom) { this.nv.setPan2Dxyzmm([...pan, zoom]); this.tell(); }

  middle() { return this.nv.frac2mm([0.5, 0.5, 0.5], 0, true); }
  // How near, and where the cross lies beside the middle of the picture: the same for another scan's own cross.
  get view() {
    const centre = this.nv.frac2mm([0.5, 0.5, 0.5]), { pan, flat, nearness } = this;
    return { nearness, beside: pan.map((mm, axis) => mm + flat[axis] * nearness - centre[axis]) };
  }

  setView({ nearness, beside }) {
    if (!this.ready) return;
    const centre = this.nv.frac2mm([0.5, 0.5, 0.5]), { flat } = this;
    this.setPan(nearness === 1 ? [0, 0, 0] : beside.map((mm, axis) => mm + centre[axis] - flat[axis] * nearness), nearness);
  }

  reset() {
    this.setPan([0, 0, 0], 1);
    const at = this.facts.link.extent;
    this.go(at ? ["x", "y", "z"].map((axis) => (at[axis][0] + at[axis][1]) / 2) : this.middle().slice(0, 3));
  }

  // --- mouse ---

  // Which plane lies under a point of the page, and where it is in the scan; null outside of all.
  under(event) {
    const rect = this.canvas.getBoundingClientRect(), dpr = this.nv.uiData.dpr || 1;
    const at = [(event.clientX - rect.left) * dpr, (event.clientY - rect.top) * dpr];
    const tile = this.nv.tileIndex(...at);
    if (tile < 0) return null;
    const frac = this.nv.screenXY2TextureFrac(...at, tile, true);
    if (!frac || frac[0] < 0) return null;
    return { tile, plane: this.nv.screenSlices[tile].axCorSag, frac, at };
  }

  listen() {
    const on = (name, hear) => this.canvas.addEventListener(name, hear, { passive: false });
    on("contextmenu", (event) => event.preventDefault());
    on("pointerdown", (event) => this.press(event));
    on("pointermove", (event) => this.drag(event));
    on("pointerup", (event) => this.release(event));
    on("pointercancel", (event) => this.release(event));
    on("pointerleave", () => this.brush?.hide());
    on("wheel", (event) => this.wheel(event));
    on("dblclick", () => this.heard.opened(this));
  }

  press(event) {
    event.preventDefault();
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    this.heard.chosen(this);
    const under = this.under(event);
    const how = event.button === 2 ? "window" : event.button === 1 || event.shiftKey ? "pan" : this.brush ? "paint" : "cross";
    this.held = { how, under, x: event.clientX, y: event.clientY, pan: this.pan };
    if (how === "cross" && under) this.cross(under.frac);
    if (how === "paint" && under) this.brush.begin(under);
  }

  drag(event) {
    const under = this.under(event);
    this.brush?.follow(event, under);
    this.heard.hovered(this, under);
    if (!this.held) return;
    const dx = event.clientX - this.held.x, dy = event.clientY - this.held.y;
    const same = under && this.held.under && under.tile === this.held.under.tile;
    if (this.held.how === "window") {
      this.heard.windowed(dx * 2, dy * 2);
      Object.assign(this.held, { x: event.clientX, y: event.clientY });
    } else if (this.held.how === "cross" && same) this.cross(under.frac);
    else if (this.held.how === "paint" && same) this.brush.go(under);
    else if (this.held.how === "pan") this.move(dx, dy);
  }

  release() {
    if (this.held?.how === "paint") this.brush?.end();
    this.held = null;
  }

  cross(frac) {
    this.nv.scene.crosshairPos = [...frac].slice(0, 3);
    this.nv.drawScene();
    this.tell();
    this.heard.moved(this);
  }

  move(dx, dy) {
    const { under, pan } = this.held;
    if (!under) return;
    const { leftTopWidthHeight: box, fovMM } = this.nv.screenSlices[under.tile];
    const scale = this.nearness * (this.nv.uiData.dpr || 1), [across, down] = IN_PLANE[under.plane];
    const next = [...pan];
    next[across] += (dx * scale * fovMM[0]) / box[2];  // the width is below 0 where the picture is mirrored
    next[down] -= (dy * scale * fovMM[1]) / box[3];
    this.setPan(next, this.nearness);
    this.heard.zoomed(this);
  }

  wheel(event) {
    event.preventDefault();
    this.canvas.focus({ preventScroll: true });
    this.heard.chosen(this);
    if (event.ctrlKey || event.metaKey) { this.zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15); return; }
    const under = this.under(event);
    const axis = AXIS[under ? under.plane : AXIAL];
    const way = event.deltaY < 0 ? 1 : -1;
    this.step(axis, axis === 2 ? way : -way);
  }

  // --- words on the picture ---

  get planeAxis() { return this.mode === "coronal" ? 1 : this.mode === "sagittal" ? 0 : 2; }

  tell() {
    if (!this.ready) return;
    const axis = this.planeAxis, voxel = this.voxel, count = this.nv.volumes[0].dimsRAS[axis + 1];
    const day = this.scan.day === null ? "" : ` · ${this.scan.label}`;
    this.caption.innerHTML = "<b></b><br><span></span>";
    this.caption.firstChild.textContent = `${this.scan.name}${day}`;
    const where = this.scan.measured ? `${"xyz"[axis]} ${this.place[axis].toFixed(0)} mm` : "place unknown";
    this.caption.lastChild.textContent = `slice ${voxel[axis] + 1} of ${count}, ${where}`;
    this.bottom.textContent = this.state.windows.words;
    this.tellSides();
  }

  // Letters at the edges of each plane: right and left, front and back, head and feet of the patient.
  tellSides() {
    const dpr = this.nv.uiData.dpr || 1;
    this.sides.replaceChildren(...this.nv.screenSlices.flatMap((slice) => {
      const letters = SIDES[slice.axCorSag];
      if (!letters) return [];
      let [left, top, width, height] = slice.leftTopWidthHeight.map((value) => value / dpr);
      if (width < 0) { left += width; width = -width; }
      const places = [[left + 10, top + height / 2], [left + width - 10, top + height / 2], [left + width / 2, top + 11], [left + width / 2, top + height - 11]];
      return letters.map((letter, n) => {
        const made = document.createElement("span");
        made.textContent = letter;
        Object.assign(made.style, { left: `${places[n][0]}px`, top: `${places[n][1]}px` });
        return made;
      });
    }));
  }

  // What is under a voxel: grey value and the names of what is drawn there.
  valueAt(frac) {
    const voxel = this.nv.frac2vox(frac);
    const grey = Math.round(this.nv.volumes[0].getValue(...voxel));
    const drawn = [];
    for (const key of ["lesions", "original", "opacities", "change"]) {
      const image = this.images.get(key);
      if (!image || image.opacity === 0) continue;
      const name = image.colormapLabel?.labels?.[image.getValue(...voxel)];
      if (name) drawn.push({ change: `change: ${name}`, original: `as found: ${name}` }[key] || name);
    }
    if (this.editing) {
      const dims = this.nv.back.dims, label = this.nv.drawBitmap[voxel[0] + dims[1] * (voxel[1] + dims[2] * voxel[2])];
      if (label) drawn.push(Object.keys(this.state.case.colours.lesions)[label - 1]);
    }
    return { grey, drawn, voxel, mm: this.nv.frac2mm(frac, 0, true) };
  }
}
