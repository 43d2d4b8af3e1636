// Correcting the lesions of one scan: brush, eraser, undo, and saving beside the original.

import { NVImage } from "niivue";
import { Brush } from "view/brush";

const FORM = `
  <div class="head"><h2>Correct lesions</h2><button type="button" id="edit-leave" title="Leave without saving (Esc)">Leave</button></div>
  <p class="quiet" id="edit-from"></p>
  <div class="row" id="edit-labels" role="group" aria-label="Brush"></div>
  <div class="row"><label class="grow">Size <input type="range" id="edit-size" min="2" max="40" step="1"></label><output id="edit-mm"></output></div>
  <div class="row"><label><input type="checkbox" id="edit-inside"> only inside the lungs</label></div>
  <div class="row"><label><input type="checkbox" id="edit-only"> only denser than</label><input type="number" id="edit-least" step="50" value="-750"> HU</div>
  <div class="row"><button type="button" id="edit-undo" title="Ctrl+Z">Undo</button><button type="button" id="edit-redo" title="Ctrl+Shift+Z">Redo</button>
    <span class="quiet" id="edit-count"></span></div>
  <div class="row"><input type="text" id="edit-who" class="grow" maxlength="80" placeholder="Your name" aria-label="Your name"><button type="button" id="edit-save" title="Ctrl+S">Save</button></div>
  <p class="quiet">Saved beside the original, which stays as it is.</p>`;

export class Editor {
  // state: {case, layers}; heard: {left(), saved(pane, told), say(text)}
  constructor(host, state, heard) {
    Object.assign(this, { host, state, heard, pane: null, brush: null });
    host.innerHTML = FORM;
    const [leave, undo, redo, save] = ["leave", "undo", "redo", "save"].map((name) => this.part(name));
    leave.addEventListener("click", () => this.leave());
    undo.addEventListener("click", () => this.brush.undo());
    redo.addEventListener("click", () => this.brush.redo());
    save.addEventListener("click", () => this.save());
    this.part("who").value = state.case.reader;
    this.part("size").addEventListener("input", () => this.size(Number(this.part("size").value)));
    for (const name of ["inside", "only", "least"]) this.part(name).addEventListener("input", () => this.limit());
    this.labels = Object.entries(state.case.colours.lesions).map(([name, rgb], n) => this.addLabel(n + 1, name, rgb));
    this.labels.push(this.addLabel(0, "Erase", null));
  }

  part(name) { return this.host.querySelector(`#edit-${name}`); }

  addLabel(label, name, rgb) {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.label = label;
    if (rgb) { button.innerHTML = `<i class="swatch"></i>`; button.firstChild.style.background = `rgb(${rgb})`; }
    button.append(name);
    button.title = label ? `B, then ${label}` : "X";
    button.addEventListener("click", () => this.choose(label));
    this.part("labels").append(button);
    return button;
  }

  choose(label) {
    if (!this.brush) return;
    this.brush.label = label;
    for (const button of this.labels) button.setAttribute("aria-pressed", Number(button.dataset.label) === label);
  }

  size(mm) {
    this.brush.mm = Math.min(Math.max(mm, 2), 40);
    this.part("size").value = this.brush.mm;
    this.part("mm").textContent = `${this.brush.mm} mm`;
  }

  // What the brush leaves alone; the eraser goes anywhere.
  limit() {
    this.brush.lungs = this.part("inside").checked ? this.lungs : null;
    this.brush.least = this.part("only").checked && this.pane.scan.hu ? Number(this.part("least").value) : null;
  }

  get changed() { return this.brush !== null && this.brush.done.length > 0; }

  // Begin from the last correction, or else from the lesions as they were found, or from nothing.
  async enter(pane) {
    const { nv, facts, scan, n } = pane, last = facts.corrections.at(-1);
    this.start = last ? last.file : scan.layers.includes("lesions") ? "lesions" : "";
    const url = last ? `/scan/${n}/correction/${last.file}` : `/scan/${n}/volume/lesions.nii.gz`;
    nv.opts.maxDrawUndoBitmaps = 1;  // ours remembers strokes, NiiVue's whole drawings
    const mask = this.start ? await NVImage.loadFromUrl({ url, name: "mask.nii.gz" }) : null;
    if (mask) nv.loadDrawing(mask); else nv.createEmptyDrawing();
    this.lungs = await NVImage.loadFromUrl({ url: `/scan/${n}/volume/lungs.nii.gz`, name: "lungs.nii.gz" });
    this.part("inside").checked = !scan.doubts.some((one) => one.includes("lungs"));
    this.part("only").closest(".row").hidden = !scan.hu;
    const colours = Object.values(this.state.case.colours.lesions);
    nv.setDrawColormap({
      R: [0, ...colours.map((c) => c[0])], G: [0, ...colours.map((c) => c[1])], B: [0, ...colours.map((c) => c[2])],
      A: [0, ...colours.map(() => 255)], labels: ["", ...Object.keys(this.state.case.colours.lesions)],
    });
    nv.drawOpacity = 0.45;
    this.pane = pane;
    pane.editing = true;
    this.brush = pane.brush = new Brush(pane, () => this.tell());
    this.limit();
    this.choose(1);
    this.size(8);
    await pane.showLayer("lesions");
    nv.drawScene();
    this.part("from").textContent = last ? `From the correction by ${last.who}, ${last.when.slice(0, 16).replace("T", " ")} UTC.`
      : this.start ? `From the lesions of ${scan.name} by ${scan.facts.lesions_by}.` : "From nothing: no lesions were drawn.";
    this.host.hidden = false;
    this.tell();
    pane.canvas.focus({ preventScroll: true });
  }

  tell() {
    const n = this.brush.done.length;
    this.part("undo").disabled = !n;
    this.part("redo").disabled = !this.brush.undone.length;
    this.part("save").disabled = !n;
    this.part("count").textContent = n ? `${n} stroke${n === 1 ? "" : "s"}` : "nothing changed yet";
  }

  leave(force = false) {
    if (!this.pane) return;
    if (this.changed && !force && !window.confirm("Leave the correction without saving it?")) return;
    const { pane } = this;
    this.brush.remove();
    pane.brush = this.brush = this.pane = null;
    pane.editing = false;
    pane.nv.closeDrawing();
    this.host.hidden = true;
    pane.showLayer("lesions");
    this.heard.left();
  }

  async save() {
    if (!this.changed || this.saving) return;
    const who = this.part("who").value.trim();
    if (!who) { this.heard.say("Say who you are before saving."); this.part("who").focus(); return; }
    this.saving = true;
    this.part("save").disabled = true;
    const { pane } = this;
    try {
      const bytes = await pane.nv.saveImage({ filename: "", isSaveDrawing: true });
      const packed = await new Response(new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip"))).arrayBuffer();
      const answer = await fetch(`/scan/${pane.n}/corrections`, {
        method: "POST", body: packed,
        headers: {
          "content-type": "application/gzip", "x-glasslung-token": document.querySelector('meta[name="save-token"]').content,
          "x-glasslung-reader": encodeURIComponent(who), "x-glasslung-start": encodeURIComponent(this.start),
        },
      });
      const told = await answer.json().catch(() => ({}));
      if (!answer.ok) { this.heard.say(`Not saved: ${told.problem || `the server answered ${answer.status}`}`); return; }
      pane.facts.corrections.push(told);
      this.leave(true);
      this.heard.saved(pane, told);
    } catch (problem) {
      this.heard.say(`Not saved: ${problem.message}. Is the viewer still running?`);
    } finally {
      this.saving = false;
      if (this.brush) this.tell();
    }
  }
}
