// The explorer: loads the scene, draws it, and answers pointer, touch and keys.
import { CHOSEN, Cloud, HIDDEN, NEAR, SHOWN } from "explore/cloud";
import { Legend } from "explore/legend";
import { Panel } from "explore/panel";
import { loadScene } from "explore/scene";
import { STEPS, Walks, loaded } from "explore/walk";

const NEVER_MOVED = 5; // CSS pixels that a click may wander
const NARROW = "(max-width: 820px)"; // as in explore.css
const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
const byId = (name) => document.getElementById(name);

class Explorer {
  constructor(scene, images) {
    this.scene = scene;
    this.cloud = new Cloud(byId("view"), scene, images);
    this.walks = new Walks(scene);
    this.chosen = -1;
    this.start = -1; // of a walk, marked with M
    this.mode = "turn";
    this.walkState = null;
    this.panel = new Panel(scene, images, {
      walkable: this.walks.possible,
      choose: (row, bring) => this.choose(row, bring),
      walkTo: (at) => this.walkTo(at, false),
      walkWay: (way) => this.walk(this.walkState.first, this.walkState.second, way),
      walkBack: () => this.walk(this.walkState.second, this.walkState.first, this.walkState.way),
      walkPlay: () => this.play(!this.walkState.playing),
      walkEnd: () => this.endWalk(),
    });
    this.legend = new Legend(scene, () => this.repaint(), () => this.restate());
    byId("legend-fold").open = !window.matchMedia(NARROW).matches;
    this.listen();
    this.keepCalm();
    this.setTheme("dark");
    this.setMode("turn");
    this.repaint();
    this.cloud.resize();
    this.cloud.fit();
    requestAnimationFrame((now) => this.tick(now));
  }

  // ------------------------------------------------------------------ what is shown

  repaint() {
    this.cloud.paint(this.legend.column);
    this.panel.picture(this.chosen, this.legend.column);
    this.restate();
  }

  restate() {
    const { states } = this.cloud, chosen = this.chosen;
    const near = new Set(chosen < 0 ? [] : this.neighbours(chosen));
    for (let row = 0; row < this.scene.count; row++) {
      if (!this.legend.shows(row)) states[row] = HIDDEN;
      else if (row === chosen) states[row] = CHOSEN;
      else if (near.has(row)) states[row] = NEAR;
      else states[row] = SHOWN;
    }
    this.cloud.showStates();
    this.cloud.linkTo(chosen >= 0 && states[chosen] === CHOSEN ? chosen : -1, [...near].filter((row) => states[row] !== HIDDEN));
    this.tellStatus();
  }

  neighbours(row) {
    const { rows, count } = this.scene.neighbours;
    return rows.slice(row * count, (row + 1) * count);
  }

  tellStatus() {
    const shown = this.legend.shown, parts = [`${shown} of ${this.scene.count} pictures`];
    if (this.chosen >= 0) parts.push(`chosen: ${this.scene.nameOf(this.chosen)}`);
    if (this.start >= 0) parts.push(`a walk starts at ${this.scene.nameOf(this.start)}`);
    byId("status").textContent = parts.join(" · ");
  }

  choose(row, bring = false) {
    this.chosen = row;
    this.restate();
    this.panel.picture(row, this.legend.column);
    if (row >= 0) this.panel.open("picture");
    if (row >= 0 && bring) this.cloud.centre(row);
  }

  setMode(mode) {
    this.mode = mode;
    byId("mode-turn").setAttribute("aria-checked", String(mode === "turn"));
    byId("mode-walk").setAttribute("aria-checked", String(mode === "walk"));
    this.cloud.canvas.classList.toggle("walking", mode === "walk");
  }

  setTheme(theme) {
    document.documentElement.dataset.theme = theme;
    byId("theme").textContent = theme === "dark" ? "Light" : "Dark";
    const colours = getComputedStyle(document.documentElement);
    this.cloud.setColours(...["--ground", "--rim", "--accent"].map((name) => colours.getPropertyValue(name).trim()));
  }

  // Who asks for less motion gets none that goes on by itself: no walk that plays, no turning that runs out.
  keepCalm() {
    this.cloud.controls.staticMoving = calm.matches;
    if (calm.matches) this.play(false);
  }

  // ------------------------------------------------------------------ walks

  async walk(first, second, way = this.walkState?.way ?? "linear") {
    if (!this.walks.possible || first === second || first < 0 || second < 0) return;
    const path = this.walks.path(first, second, way);
    const state = { first, second, way, path, frames: new Array(STEPS).fill(null), at: 0, playing: !calm.matches, whole: false };
    this.walkState = state;
    this.start = -1;
    this.panel.walk(state, this.walks.words(first, second));
    this.cloud.drawPath(path);
    this.cloud.showBoth(first, second);
    this.tellStatus();
    try {
      await this.walks.between(first, second, way, (frames, whole) => {
        if (this.walkState !== state) return;
        Object.assign(state, { frames, whole });
        this.panel.walkFrames(frames, whole);
        this.walkTo(state.at, state.playing);
      });
    } catch (problem) {
      byId("walk-waiting").textContent = problem.message;
    }
  }

  walkTo(at, playing) {
    const state = this.walkState;
    if (!state) return;
    Object.assign(state, { at, playing });
    const place = Math.round(at), frame = nearestFrame(state.frames, place);
    this.panel.walkShow(frame, place, playing);
    if (frame) this.cloud.showTraveller(frame, state.path[place]);
  }

  play(on) {
    if (!this.walkState) return;
    this.walkState.playing = on;
    this.walkTo(this.walkState.at, on);
  }

  endWalk() {
    this.walkState = null;
    this.walks.stop();
    this.cloud.drawPath(null);
    this.panel.emptyWalk();
  }

  // ------------------------------------------------------------------ pointer and touch

  listen() {
    const stage = byId("stage"), view = byId("view");
    stage.addEventListener("pointerdown", (event) => this.down(event), { capture: true });
    window.addEventListener("pointermove", (event) => this.move(event));
    window.addEventListener("pointerup", (event) => this.up(event));
    window.addEventListener("pointercancel", () => this.letGo());
    new ResizeObserver(() => this.cloud.resize()).observe(stage);
    document.addEventListener("keydown", (event) => this.key(event));
    byId("mode-turn").addEventListener("click", () => this.setMode("turn"));
    byId("mode-walk").addEventListener("click", () => this.setMode("walk"));
    byId("mode-walk").disabled = !this.walks.possible;
    byId("size").addEventListener("input", (event) => this.cloud.setSize(Number(event.target.value)));
    byId("fit").addEventListener("click", () => this.cloud.fit());
    byId("theme").addEventListener("click", () => this.setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
    byId("help-open").addEventListener("click", () => byId("help").showModal());
    calm.addEventListener("change", () => this.keepCalm());
    view.addEventListener("contextmenu", (event) => event.preventDefault());
    view.addEventListener("webglcontextlost", () => { byId("status").textContent = "The graphics chip gave up; reload the page."; });
  }

  spot(event) {
    const box = byId("view").getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  down(event) {
    if (event.target !== byId("view") || !event.isPrimary || event.button !== 0) return this.letGo();
    const at = this.spot(event), row = this.cloud.pick(at.x, at.y);
    const wanted = this.mode === "walk" || event.shiftKey || (row >= 0 && row === this.chosen);
    this.held = { at, row, walking: wanted && row >= 0 && this.walks.possible, moved: false, target: -1 };
    this.cloud.controls.enabled = !this.held.walking;
  }

  move(event) {
    const at = this.spot(event);
    if (!this.held) {
      if (event.target === byId("view") && event.pointerType === "mouse" && !event.buttons) this.pointed = at;
      return;
    }
    const far = Math.hypot(at.x - this.held.at.x, at.y - this.held.at.y);
    this.held.moved ||= far > NEVER_MOVED;
    if (this.held.walking && this.held.moved) this.pointed = at;
  }

  aim(at) {
    const from = this.cloud.onScreen(this.held.row);
    this.drawRubber(from, at);
    const target = this.cloud.pick(at.x, at.y);
    this.held.target = target === this.held.row ? -1 : target;
    byId("status").textContent = this.held.target < 0 ? "let go on another picture" : `to ${this.scene.nameOf(this.held.target)}`;
  }

  hover(at) {
    const row = this.cloud.pick(at.x, at.y);
    byId("view").classList.toggle("over", row >= 0);
    byId("view").title = row >= 0 ? this.titleOf(row) : "";
  }

  titleOf(row) {
    const column = this.legend.column;
    return this.scene.nameOf(row) + (column ? `, ${column.name}: ${column.groups[column.of[row]].text}` : "");
  }

  up(event) {
    const held = this.held;
    if (held?.walking && held.moved) this.aim(this.spot(event));
    this.letGo();
    if (!held) return;
    if (!held.moved) this.choose(held.row);
    else if (held.walking && held.target >= 0) this.walk(held.row, held.target);
    this.tellStatus();
  }

  letGo() {
    this.held = this.pointed = null;
    this.cloud.controls.enabled = true;
    byId("rubber").style.display = "none";
  }

  drawRubber(from, to) {
    const line = byId("rubber").firstElementChild;
    byId("rubber").style.display = "block";
    for (const [name, value] of Object.entries({ x1: from.x, y1: from.y, x2: to.x, y2: to.y })) line.setAttribute(name, value);
  }

  // ------------------------------------------------------------------ keys

  key(event) {
    const typing = event.target.closest("input:not([type=checkbox]), select, dialog[open]");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const pressed = event.target.closest("button, summary, input");
    if (pressed && (event.key === " " || event.key === "Enter")) return; // the button's own
    const acts = {
      ArrowLeft: () => this.cloud.turn(-0.12, 0),
      ArrowRight: () => this.cloud.turn(0.12, 0),
      ArrowUp: () => this.cloud.turn(0, -0.12),
      ArrowDown: () => this.cloud.turn(0, 0.12),
      "+": () => this.cloud.nearer(0.85),
      "=": () => this.cloud.nearer(0.85),
      "-": () => this.cloud.nearer(1 / 0.85),
      ",": () => this.step(-1),
      ".": () => this.step(1),
      m: () => { this.start = this.chosen; this.tellStatus(); },
      Enter: () => this.walk(this.start, this.chosen),
      " ": () => this.play(!this.walkState?.playing),
      f: () => this.cloud.fit(),
      t: () => this.setMode("turn"),
      w: () => this.setMode("walk"),
      "?": () => byId("help").showModal(),
      Escape: () => { this.endWalk(); this.start = -1; this.choose(-1); },
    };
    const number = Number(event.key);
    const act = number >= 1 && number <= 9 ? () => this.toNeighbour(number) : acts[event.key] ?? acts[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    act();
  }

  step(by) {
    const { count } = this.scene;
    for (let tries = 0, row = this.chosen; tries < count; tries++) {
      row = row < 0 ? (by > 0 ? 0 : count - 1) : (row + by + count) % count;
      if (this.legend.shows(row)) return this.choose(row, true);
    }
    return undefined;
  }

  toNeighbour(number) {
    if (this.chosen < 0) return;
    const row = this.neighbours(this.chosen)[number - 1];
    if (row !== undefined) this.choose(row, true);
  }

  // ------------------------------------------------------------------ frame by frame

  tick(now) {
    requestAnimationFrame((next) => this.tick(next));
    if (this.walkState?.playing) this.advance(now);
    this.point();
    const drew = this.cloud.frame(now);
    this.measure(now, drew);
    this.last = now;
  }

  // Once a frame, however often the pointer moves.
  point() {
    const at = this.pointed;
    this.pointed = null;
    if (at && this.held) this.aim(at);
    else if (at) this.hover(at);
  }

  // There and back in four seconds each way.
  advance(now) {
    const state = this.walkState, since = Math.min(100, now - (this.last ?? now));
    state.phase = ((state.phase ?? 0) + since / 4000) % 2;
    const at = (state.phase < 1 ? state.phase : 2 - state.phase) * (STEPS - 1);
    const before = Math.round(state.at);
    state.at = at;
    if (Math.round(at) !== before) this.walkTo(at, true);
  }

  measure(now, drew) {
    if (!drew) {
      this.run = null;
      if (this.rate && this.cloud.sharp) byId("rate").textContent = this.rate = "";
      return;
    }
    if (!this.run) this.run = { since: now, frames: 0 };
    this.run.frames += 1;
    const passed = now - this.run.since;
    if (passed < 700) return;
    this.rate = (1000 * (this.run.frames - 1)) / passed;
    byId("rate").textContent = `${Math.round(this.rate)} frames/s`;
    this.run = { since: now, frames: 1 };
  }

  // For measuring: turns the cloud for some seconds and gives the time of every frame in milliseconds.
  spin(seconds) {
    return new Promise((done) => {
      const times = [], began = performance.now();
      const turn = (now) => {
        times.push(now);
        this.cloud.turn(0.02, 0.004);
        if (now - began < 1000 * seconds) requestAnimationFrame(turn);
        else done(times);
      };
      requestAnimationFrame(turn);
    });
  }
}

function nearestFrame(frames, place) {
  for (let away = 0; away < frames.length; away++) {
    const found = frames[place - away] ?? frames[place + away];
    if (found) return found;
  }
  return null;
}

async function begin() {
  try {
    const scene = await loadScene();
    byId("title").textContent = scene.name;
    document.title = `${scene.name} · latent explorer`;
    byId("count").textContent = `${scene.count} pictures · ${scene.codes.name} · ${scene.layout.name}`;
    const images = await Promise.all(scene.atlas.urls.map(loaded));
    window.explorer = new Explorer(scene, images);
    byId("waiting").hidden = true;
  } catch (problem) {
    byId("waiting").textContent = /WebGL/i.test(String(problem))
      ? "This browser offers no WebGL2; switch hardware acceleration on, or use another browser."
      : `The explorer could not start: ${problem.message}`;
    throw problem;
  }
}

begin();
