// The panel at the side: a picture's facts and neighbours, a walk, outliers, batch effects, what all this is.
import { colourOf, drawMark } from "explore/marks";
import { factsOf } from "explore/scene";
import { STEPS } from "explore/walk";

const TABS = ["picture", "walk", "outliers", "sources", "about"];

export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

export class Panel {
  constructor(scene, images, acts) {
    Object.assign(this, { scene, images, acts });
    for (const name of TABS) {
      const tab = document.getElementById(`tab-${name}`);
      tab.addEventListener("click", () => this.open(name));
      tab.addEventListener("keydown", (event) => this.stepTabs(event, name));
    }
    this.about();
    this.outliers();
    this.sources();
    this.picture(-1, null);
    this.emptyWalk();
  }

  pane(name) {
    return document.getElementById(`pane-${name}`);
  }

  open(name) {
    for (const each of TABS) {
      const tab = document.getElementById(`tab-${each}`);
      tab.setAttribute("aria-selected", String(each === name));
      tab.tabIndex = each === name ? 0 : -1;
      this.pane(each).hidden = each !== name;
    }
    this.opened = name;
  }

  stepTabs(event, name) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.stopPropagation();
    const next = TABS[(TABS.indexOf(name) + step + TABS.length) % TABS.length];
    this.open(next);
    document.getElementById(`tab-${next}`).focus();
  }

  // Fills a pane anew; the keyboard stays in it, on the same control where there still is one.
  fill(name, ...parts) {
    const pane = this.pane(name), within = pane.contains(document.activeElement) ? document.activeElement.id : null;
    pane.replaceChildren(...parts.filter((one) => one !== null));
    if (within !== null) (document.getElementById(within || pane.id) ?? pane).focus({ preventScroll: true });
  }

  thumb(row, side = 64) {
    const { columns, cell } = this.scene.atlas, per = columns * columns;
    const canvas = make("canvas", { width: side, height: side });
    const at = row % per, image = this.images[Math.floor(row / per)];
    canvas.getContext("2d").drawImage(
      image, (at % columns) * cell, Math.floor(at / columns) * cell, cell, cell, 0, 0, side, side,
    );
    return canvas;
  }

  mark(row, column) {
    if (!column) return null;
    const group = column.groups[column.of[row]];
    return drawMark(make("canvas"), group);
  }

  tile(row, under, column) {
    const name = this.scene.nameOf(row);
    const button = make(
      "button", { type: "button", title: name, "aria-label": `${name}, ${under}`, "data-row": row, onclick: () => this.acts.choose(row, true) },
      this.thumb(row), make("span", {}, under),
    );
    if (column) button.style.borderColor = colourOf(column.groups[column.of[row]]);
    return button;
  }

  // ------------------------------------------------------------------ a picture

  picture(row, column) {
    if (row < 0) {
      this.fill("picture",
        make("p", { class: "quiet" }, "Click or tap a picture to see its facts and its nearest neighbours in the latent space."),
        make("p", { class: "quiet" }, this.acts.walkable
          ? "Drag from one picture to another with Shift, or with Walk switched on, to see what the model puts between them."
          : "These codes cannot be decoded here, so there is nothing to be seen between two pictures."),
      );
      return;
    }
    const { rows, distances, count } = this.scene.neighbours;
    const near = Array.from({ length: count }, (_, at) => row * count + at);
    const big = this.scene.live
      ? make("img", { class: "big", alt: "The chosen picture", src: `picture/${row}.png` })
      : Object.assign(this.thumb(row), { className: "big" });
    const facts = factsOf(this.scene, row).map(([name, text]) => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, text)));
    this.fill("picture",
      big,
      make("p", { class: "named" }, this.mark(row, column), make("span", {}, this.scene.nameOf(row))),
      this.scene.live ? null : make("p", { class: "quiet" }, "The thumbnail of 64 x 64 pixels: whole pictures are not in this file."),
      make("table", { class: "facts" }, make("tbody", {}, ...facts)),
      make("h2", {}, "Nearest in the latent space"),
      make("div", { class: "near" }, ...near.map((at) => this.tile(rows[at], distances[at].toPrecision(3), column))),
    );
    this.pane("picture").scrollTop = 0;
  }

  // ------------------------------------------------------------------ a walk

  emptyWalk() {
    this.fill("walk", make("p", { class: "quiet" }, this.acts.walkable
      ? "Drag from one picture to another with Shift held, or with Walk switched on. With keys: choose a picture, M, choose another, Enter."
      : "These codes cannot be decoded in this page, so there are no walks. A run of the auto-encoder decodes, also in an exported page."));
  }

  walk(state, words) {
    const now = make("canvas", { class: "now", width: 256, height: 256, id: "walk-now", "aria-label": "Decoded picture on the way" });
    const slider = make("input", {
      type: "range", id: "walk-share", min: 0, max: STEPS - 1, step: 1, value: 0, "aria-label": "Share of the way",
      oninput: () => this.acts.walkTo(Number(slider.value)),
    });
    const way = make("select", { id: "walk-way", onchange: () => this.acts.walkWay(way.value) },
      ...["linear", "spherical"].map((each) => make("option", { value: each, selected: each === state.way }, each)));
    const ends = [state.first, state.second].map((row) => Object.assign(this.thumb(row), { className: "end", title: this.scene.nameOf(row) }));
    this.strip = make("div", { class: "strip", id: "walk-strip" }, ...Array.from({ length: 9 }, (_, at) =>
      make("canvas", { width: 64, height: 64, onclick: () => this.acts.walkTo((at * (STEPS - 1)) / 8) })));
    this.fill("walk",
      make("h2", { id: "walk-title" }, words.title),
      make("p", { class: "quiet" }, words.note),
      make("div", { class: "walked" }, ends[0], now, ends[1]),
      make("div", { class: "row" },
        make("button", { type: "button", id: "walk-play", onclick: () => this.acts.walkPlay() }, "Hold"), slider,
        make("output", { id: "walk-at" }, "0 %")),
      this.strip,
      make("div", { class: "row" }, make("label", {}, "Way ", way),
        make("button", { type: "button", id: "walk-back", onclick: () => this.acts.walkBack() }, "Turn round"),
        make("button", { type: "button", onclick: () => this.acts.walkEnd() }, "End")),
      make("p", { class: "quiet", id: "walk-waiting" }, "Decoding"),
      make("p", { class: "quiet" }, "Small pictures at the sides: the two as they are. All between is decoded, the ends of the strip too: "
        + "what they lose shows what the code does not hold."),
    );
    this.open("walk");
  }

  walkFrames(frames, whole) {
    if (!this.strip) return;
    [...this.strip.children].forEach((canvas, at) => {
      const frame = frames[(at * (STEPS - 1)) / 8];
      if (frame) canvas.getContext("2d").drawImage(frame, 0, 0, 64, 64);
    });
    document.getElementById("walk-waiting").hidden = whole;
  }

  walkShow(frame, at, playing) {
    const now = document.getElementById("walk-now");
    if (!now) return;
    if (frame) {
      const pen = now.getContext("2d");
      pen.imageSmoothingQuality = "high";
      pen.drawImage(frame, 0, 0, 256, 256);
    }
    document.getElementById("walk-share").value = at;
    document.getElementById("walk-at").textContent = `${Math.round((100 * at) / (STEPS - 1))} %`;
    document.getElementById("walk-play").textContent = playing ? "Hold" : "Play";
  }

  // ------------------------------------------------------------------ outliers

  outliers() {
    const { rows, ratios, neighbours } = this.scene.outliers;
    this.pane("outliers").replaceChildren(
      make("p", { class: "quiet" }, `The ${rows.length} pictures farthest from their ${neighbours} nearest neighbours, and how many times `
        + "farther than a picture in the middle of the list. Rare is not wrong: look at each."),
      make("div", { class: "near" }, ...rows.map((row, at) => this.tile(row, `${ratios[at].toFixed(1)} times`, null))),
    );
  }

  // ------------------------------------------------------------------ batch effects

  sources() {
    const shown = (one) => (one.why
      ? make("section", {}, make("h2", {}, one.column), make("p", { class: "quiet" }, one.why))
      : this.told(one));
    const wanted = (one) => ["label", "stage"].includes(one.column);
    const parts = this.scene.tellings.filter((one) => !wanted(one)).map(shown);
    const labels = this.scene.tellings.filter(wanted);
    if (labels.length) parts.push(make("p", { class: "quiet" }, "For comparison, what ought to be told:"), ...labels.map(shown));
    this.pane("sources").replaceChildren(
      make("p", { class: "quiet" }, "Can one tell from a picture's neighbours what group it is of? If a source, a split or a scanner can be told, "
        + "the codes hold more than the disease, or the disease is unevenly spread over it. Neighbours of the same patient never count."),
      ...(parts.length ? parts : [make("p", {}, "No column of this collection makes groups, so nothing was asked.")]),
    );
  }

  told(one) {
    const percent = (share) => `${(100 * share).toFixed(0)} %`;
    const apart = one.low > one.chance_high;
    const part = (tag, low, high) => {
      const bar = make(tag);
      bar.style.left = `${100 * low}%`;
      bar.style.width = `${Math.max(0, 100 * (high - low))}%`;
      return bar;
    };
    const point = make("u");
    point.style.left = `${100 * one.accuracy}%`;
    return make("section", { "data-column": one.column },
      make("h2", {}, one.column === "kind" ? "real or made" : one.column),
      make("div", { class: "chances", role: "img", "aria-label": `told rightly ${percent(one.accuracy)}, by chance ${percent(one.chance)}` },
        part("i", one.chance_low, one.chance_high), part("b", one.low, one.high), point),
      make("p", {}, make("strong", {}, `${percent(one.accuracy)} [${percent(one.low)}, ${percent(one.high)}]`),
        ` told rightly, by chance ${percent(one.chance)} [${percent(one.chance_low)}, ${percent(one.chance_high)}]: `,
        apart ? "told apart." : "not told apart by this."),
      make("p", { class: "quiet" }, `${one.groups.map((group, at) => `${group} (${one.counts[at]})`).join(", ")}; ${one.neighbours} nearest of `
        + `${one.units} patients or pictures; ${one.permutations} shuffles of ${one.shuffled}, p ${one.p <= 1.5 / (one.permutations + 1) ? "≤" : "="} ${one.p.toFixed(3)}.`),
    );
  }

  // ------------------------------------------------------------------ about

  about() {
    const { scene } = this, left = scene.left_out;
    const reasons = new Map();
    for (const one of left) reasons.set(one.why, [...(reasons.get(one.why) ?? []), one.name]);
    const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);
    this.pane("about").replaceChildren(
      make("p", { class: "care" }, scene.disclaimer),
      make("h2", {}, "Codes"), make("p", {}, `${sentence(scene.codes.told)}.`),
      make("h2", {}, "Layout"), make("p", {}, scene.layout.told),
      make("p", { class: "quiet" }, "Neighbours, outliers and batch effects are measured in the codes, not in these three dimensions."),
      make("h2", {}, "Pictures"),
      make("p", {}, `${scene.count} shown, ${left.length} left out.`),
      ...[...reasons].map(([why, names]) => make("details", {},
        make("summary", {}, `${names.length} left out: ${why}`),
        make("ul", { class: "left" }, ...names.filter(Boolean).map((name) => make("li", {}, name))))),
      ...scene.notes.map((note) => make("p", { class: "quiet" }, note)),
      make("h2", {}, "Marks"),
      make("p", {}, "Frame and mark in the upper left corner show the group; a bar at the lower edge shows a number. Dashed frames are made pictures."),
      make("p", { class: "quiet" }, `glasslung ${scene.version}. ${scene.live ? "Served to this machine alone." : "This file asks nothing of any network."} `
        + "Drawn with three.js, MIT licence."),
    );
  }
}
