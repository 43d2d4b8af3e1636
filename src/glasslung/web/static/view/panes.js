// Which scans are in view, in which planes, and how they move together.

import { CROSS_MM, Pane, SOLID_PLACE } from "view/pane";
import { Solid } from "view/solid";
import { carried } from "view/links";

const KEPT = 4;  // opened scans that stay in the graphics memory
export const MODES = { planes: "Planes", axial: "Axial", coronal: "Coronal", sagittal: "Sagittal", solid: "3D", serial: "Serial" };

export class Panes {
  // state: {case, layers, windows}; heard: {shown(), moved(mm), hovered(words), say(text)}
  constructor(stage, state, heard) {
    Object.assign(this, { stage, state, heard, open: new Map(), mode: "planes", now: 0, plane: "axial", shown: [], cross: true });
    this.solid = new Solid(state);
    this.links = [];
  }

  get active() { return this.open.get(this.now); }

  async pane(n) {
    if (!this.open.has(n)) {
      this.forgetOldest();
      const pane = new Pane(this.state, n, {
        moved: (one) => this.follow(one), zoomed: (one) => this.zoomAll(one), chosen: (one) => this.activate(one),
        say: this.heard.say, windowed: (dx, dy) => this.state.windows.shift(dx, dy), hovered: (one, under) => this.hover(one, under),
        opened: (one) => { if (this.mode === "serial") this.show("planes", one.n); },
      });
      this.open.set(n, pane);
      pane.box.style.visibility = "hidden";  // until it is where it shall be
      pane.opened = pane.open(this.stage);
    }
    const pane = this.open.get(n);
    try {
      return await pane.opened;
    } catch (problem) {
      pane.close();
      this.open.delete(n);
      throw new Error(`${pane.scan.name} cannot be shown: ${problem.message}`);
    }
  }

  // The scan that was opened longest ago and is not in view gives its memory back.
  forgetOldest() {
    for (const [n, pane] of this.open) {
      if (this.open.size < KEPT) return;
      if (!this.shown.includes(n) && n !== this.now && !pane.editing) { pane.close(); this.open.delete(n); }
    }
  }

  // Scans side by side: the one in view among its neighbours in time, four at most.
  chosenScans(n) {
    const there = this.state.case.scans.map((scan, k) => (scan.there ? k : -1)).filter((k) => k >= 0);
    const from = Math.min(Math.max(there.indexOf(n) - 1, 0), Math.max(there.length - KEPT, 0));
    return there.slice(from, from + KEPT);
  }

  async show(mode, n) {
    if (!this.state.case.scans[n].there) { this.heard.say(`${this.state.case.scans[n].name} is not there: give it with --scan`); return; }
    const before = this.active?.ready ? { mm: this.active.place, n: this.now, view: this.active.view } : null;
    const turn = (this.turn = (this.turn || 0) + 1);
    Object.assign(this, { mode, now: n });
    if (["axial", "coronal", "sagittal"].includes(mode)) this.plane = mode;
    this.shown = mode === "serial" ? this.chosenScans(n) : mode === "solid" ? [] : [n];
    this.arrange();
    this.heard.shown();
    await this.pane(n);
    for (const k of this.shown) await this.pane(k);
    if (turn !== this.turn) return;  // something else was asked for meanwhile
    this.arrange();
    const from = before || { mm: this.placeToBegin(n), n, view: { nearness: 1, beside: [0, 0, 0] } };
    await this.allLinks();
    for (const k of this.shown) {
      const pane = this.open.get(k);
      pane.setPlanes(mode === "serial" ? this.plane : mode);
      pane.nv.resizeListener();
      pane.setWindow(this.state.windows);
      pane.nv.setCrosshairWidth(this.cross ? CROSS_MM : 0);
      pane.go(carried(from.mm, from.n, k, this.links));
      pane.setView(from.view);
      pane.box.style.visibility = "";
    }
    await this.showSolid(turn);
    this.heard.moved(this.active);
    this.heard.shown();
  }

  // Links of all scans are asked for once: a place may be carried over scans that are not in view.
  async allLinks() {
    const ask = async (_, k) => (await (await fetch(`/scan/${k}/facts.json`)).json()).link || {};
    this.linked ||= Promise.all(this.state.case.scans.map(ask));
    this.links = await this.linked;
  }

  placeToBegin(n) {
    const { extent } = this.open.get(n).facts.link;
    if (!extent) return this.open.get(n).middle().slice(0, 3);
    return ["x", "y", "z"].map((axis) => (extent[axis][0] + extent[axis][1]) / 2);
  }

  arrange() {
    const count = Math.max(this.shown.length, 1);
    const columns = count === 4 ? 2 : count;
    this.stage.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
    this.stage.style.gridTemplateRows = `repeat(${Math.ceil(count / columns)}, minmax(0, 1fr))`;
    for (const [k, pane] of this.open) {
      pane.box.style.display = this.shown.includes(k) ? "" : "none";
      pane.box.style.order = this.shown.indexOf(k);
      pane.box.classList.toggle("active", this.shown.length > 1 && k === this.now);
    }
    const { box } = this.solid, wanted = this.mode === "planes" || this.mode === "solid";
    box.style.display = wanted ? "" : "none";
    Object.assign(box.style, this.mode === "solid" ? { left: 0, top: 0, width: "100%", height: "100%" } : SOLID_PLACE);
  }

  async showSolid(turn) {
    if (this.mode !== "planes" && this.mode !== "solid") return;
    await this.solid.attach(this.stage);
    if (turn !== this.turn) return;
    this.arrange();
    this.solid.nv.resizeListener();
    await this.solid.show(this.now);
    this.solid.go(this.active?.place);
  }

  activate(pane) {
    if (this.now === pane.n) return;
    this.now = pane.n;
    this.arrange();
    this.heard.shown();
  }

  // --- moving together ---

  follow(pane) {
    for (const k of this.shown) if (k !== pane.n) this.open.get(k)?.go(carried(pane.place, pane.n, k, this.links));
    this.solid.go(pane.place);
    this.heard.moved(pane);
  }

  zoomAll(pane) { for (const k of this.shown) if (k !== pane.n) this.open.get(k)?.setView(pane.view); }

  go(mm) {
    const pane = this.active;
    if (!pane?.ready) return;
    pane.go(mm);
    this.follow(pane);
  }

  step(by) { const pane = this.active; if (pane?.ready) pane.step(pane.planeAxis, by); }

  reset() { const pane = this.active; if (!pane?.ready) return; pane.reset(); this.zoomAll(pane); this.follow(pane); }

  // The cross hides what is small.
  showCross(yes = !this.cross) {
    this.cross = yes;
    for (const pane of this.open.values()) pane.nv?.setCrosshairWidth(yes ? CROSS_MM : 0);
  }

  setWindow(windows) { for (const pane of this.open.values()) pane.setWindow(windows); }
  showLayer(key) { return Promise.all([...this.open.values()].map((pane) => pane.showLayer(key))); }

  hover(pane, under) {
    if (!under) { this.heard.hovered(""); return; }
    const { grey, drawn, mm, voxel } = pane.valueAt(under.frac);
    const side = mm[0] > 0 ? "R" : "L";
    const where = pane.scan.measured ? `${side} ${Math.abs(mm[0]).toFixed(0)}, y ${mm[1].toFixed(0)}, z ${mm[2].toFixed(0)} mm` : `voxel ${voxel.map((v) => v + 1).join(", ")}`;
    this.heard.hovered([pane.scan.name, where, pane.scan.hu ? `${grey} HU` : `grey ${grey}`, ...drawn].join("  ·  "));
  }

  // --- a picture of what is in view ---

  async picture() {
    const all = [...this.shown.map((k) => this.open.get(k)), ...(this.solid.box.style.display === "none" ? [] : [this.solid])].filter((one) => one?.nv);
    const stage = this.stage.getBoundingClientRect(), ratio = window.devicePixelRatio || 1, foot = 26;
    const canvas = document.createElement("canvas");
    canvas.width = stage.width * ratio;
    canvas.height = (stage.height + foot) * ratio;
    const paper = canvas.getContext("2d");
    paper.scale(ratio, ratio);
    paper.fillRect(0, 0, stage.width, stage.height + foot);
    paper.font = "12px sans-serif";
    paper.fillStyle = "#e6ebf0";
    for (const one of all) {
      const box = one.box.getBoundingClientRect(), x = box.left - stage.left, y = box.top - stage.top;
      one.nv.drawScene();  // read in the same turn: a WebGL canvas forgets its picture
      paper.drawImage(one.canvas, x, y, box.width, box.height);
      one.caption.innerText.split("\n").forEach((line, n) => paper.fillText(line, x + 8, y + 18 + 16 * n));
      if (one.bottom) paper.fillText(one.bottom.textContent, x + 8, y + box.height - 8);
      for (const letter of one.sides?.children || []) paper.fillText(letter.textContent, x + parseFloat(letter.style.left) - 4, y + parseFloat(letter.style.top) + 4);
    }
    paper.fillText(`glasslung  ·  ${this.state.case.disclaimer}`, 8, stage.height + 18);
    return new Promise((done) => canvas.toBlob(done, "image/png"));
  }
}
