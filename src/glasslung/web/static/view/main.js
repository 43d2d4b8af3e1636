// The viewer: opens what the server has, and joins its parts.

import { Windows } from "view/windows";
import { Layers } from "view/layers";
import { MODES, Panes } from "view/panes";
import { Chart } from "view/chart";
import { Table } from "view/table";
import { Editor } from "view/edit";
import { fillHelp, listenToKeys } from "view/keys";

const at = (id) => document.getElementById(id);
const say = (text) => { at("message").textContent = text; };

const told = await (await fetch("/view.json")).json();
at("disclaimer").textContent = told.disclaimer;
const state = { case: told };
const several = told.scans.length > 1;

const panes = new Panes(at("stage"), state, {
  shown, say, moved: () => {}, hovered: (words) => { at("readout").textContent = words; },
});
state.windows = new Windows(at("windows"), told.scans[0].windows, () => panes.setWindow(state.windows));
state.layers = new Layers(at("overlay-rows"), told.scans, told.colours, (key) => panes.showLayer(key));
const table = new Table(told, (mm) => panes.go(mm));
const chart = new Chart(at("chart"), at("measure"), told.trajectory, told.scans, (n) => open(n));
const editor = new Editor(at("editing"), state, { say, left: () => showEditing(false), saved });

function button(host, text, title, press) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.title = title;
  made.addEventListener("click", press);
  host.append(made);
  return made;
}

const views = Object.entries(MODES).filter(([key]) => several || key !== "serial")
  .map(([key, text]) => [key, button(at("views"), text, { planes: "P", axial: "A", coronal: "Q", sagittal: "G", solid: "D", serial: "S" }[key], () => view(key))]);
const scans = several ? told.scans.map((scan, n) => button(at("scans"), scan.label, `${scan.name} (← →)`, () => open(n))) : [];

if (!told.trajectory.length) at("course").hidden = true;
if (!told.canSave) { at("found").hidden = true; at("edit").hidden = true; at("overlays").hidden = true; }

// Which mask the list of lesions is made of: the last correction, the lesions found, or dense lung.
function listed(n) {
  const last = panes.open.get(n)?.facts?.corrections.at(-1);
  if (last) return last.file;
  return ["lesions", "opacities"].find((key) => told.scans[n].layers.includes(key)) || "";
}

// Lesions as found stand beside the corrected ones, where there are any.
function offerLesions() {
  const corrected = [...panes.open.values()].filter((one) => one.facts?.corrections.length);
  if (corrected.length) state.layers.offer("lesions", true);
  state.layers.offer("original", corrected.some((one) => one.scan.layers.includes("lesions")));
}

function shown() {
  for (const [key, made] of views) made.setAttribute("aria-pressed", key === panes.mode);
  scans.forEach((made, n) => made.setAttribute("aria-pressed", n === panes.now));
  chart.mark(panes.shown.length > 1 ? panes.shown : [panes.now]);
  const pane = panes.active;
  if (!pane?.ready) return;
  at("waiting")?.remove();
  offerLesions();
  if (told.canSave) table.listed = table.show(panes.now, listed(panes.now));
}

async function open(n) {
  if (n < 0 || n >= told.scans.length) return;
  if (!mayLeave()) return;
  say("");
  if (panes.mode === "serial" && panes.shown.includes(n)) panes.activate(await panes.pane(n));
  else await show(panes.mode, n);
}

async function show(mode, n) {
  try {
    await panes.show(mode, n);
  } catch (problem) {
    say(problem.message);
  }
}

async function view(mode) {
  if (!several && mode === "serial") return;
  if (!mayLeave()) return;
  await show(mode, panes.now);
}

function mayLeave() {
  if (editor.pane) editor.leave();
  return !editor.pane;
}

function showEditing(yes) {
  at("overlays").hidden = yes;
  at("edit").setAttribute("aria-pressed", yes);
}

async function edit() {
  if (editor.pane) { editor.leave(); return; }
  if (!told.canSave || !panes.active?.ready) return;
  if (!told.scans[panes.now].layers.includes("lungs")) { say("Only a scan with a mask of its lungs can be corrected."); return; }
  if (panes.mode === "serial" || panes.mode === "solid") await show("planes", panes.now);
  say("");
  await editor.enter(panes.active);
  showEditing(true);
}

function saved(pane, kept) {
  pane.forget("lesions");
  offerLesions();
  pane.showLayer("lesions");
  table.show(pane.n, listed(pane.n));
  say(`Saved: corrections/${kept.file}, ${kept.voxels_changed} voxels changed`);
}

async function picture() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await panes.picture());
  link.download = `glasslung-${told.scans[panes.now].name}-${panes.mode}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function theme(name = document.documentElement.dataset.theme === "dark" ? "light" : "dark") {
  document.documentElement.dataset.theme = name;
  at("theme").textContent = name === "dark" ? "Light" : "Dark";
}

fillHelp(at("keys"));
at("edit").addEventListener("click", edit);
at("shot").addEventListener("click", picture);
at("theme").addEventListener("click", () => theme());
at("help").addEventListener("click", () => at("keys").showModal());
at("overlays-all").addEventListener("click", () => state.layers.hideAll());
window.addEventListener("beforeunload", (event) => { if (editor.changed) event.preventDefault(); });
if (window.matchMedia("(prefers-color-scheme: light) and (prefers-contrast: more)").matches) theme("light");

listenToKeys({
  step: (by) => panes.step(by), scan: (by) => open(panes.now + by), zoom: (by) => panes.active?.zoom(by), reset: () => panes.reset(),
  lesion: (by) => table.next(by), view, overlays: () => state.layers.hideAll(), layer: (key) => state.layers.toggle(key), cross: () => panes.showCross(), window: (n) => state.windows.choose(n),
  edit, picture, theme: () => theme(), help: () => at("keys").showModal(), leave: () => { if (editor.pane) editor.leave(); },
  brush: (label) => editor.choose(label), size: (by) => editor.brush && editor.size(editor.brush.mm + by),
  undo: () => editor.brush.undo(), redo: () => editor.brush.redo(), save: () => editor.save(),
}, () => editor.pane !== null);

window.viewer = { told, state, panes, table, chart, editor, open, view, ready: false };
const first = Math.max(told.scans.findLastIndex((scan) => scan.there), 0);
try {
  await panes.show("planes", first);
  await table.listed;
  if (table.rows.length) panes.go(table.rows[0].mm);  // where there is something to be seen
  window.viewer.ready = true;
} catch (problem) {
  at("waiting")?.remove();
  say(problem.message);
  throw problem;
}
