// The course over the days: a small chart whose points are the scans; a click opens that day.

const W = 316, H = 150, LEFT = 34, RIGHT = 12, TOP = 16, BOTTOM = 24;
const NS = "http://www.w3.org/2000/svg";
const node = (name, told = {}, text = "") => {
  const made = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(told)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
};

export const titleOf = (one) => ({ involvement: "dense lung, %", lesions: `lesions by ${one.of}, %` }[one.measure] || `s(t), ${one.of}`);

function niceTop(most) {
  const step = 10 ** Math.floor(Math.log10(most || 1));
  return [1, 2, 3, 4, 5, 6, 8, 10].map((k) => k * step).find((one) => one >= most * 1.08) || 10 * step;
}

export class Chart {
  // course: trajectories as the server tells them; scans: all; chosen(n) is called with a scan's number.
  constructor(host, select, course, scans, chosen) {
    Object.assign(this, { host, course, scans, chosen });
    course.forEach((one, n) => select.append(new Option(titleOf(one), n)));
    select.hidden = course.length < 2;
    select.addEventListener("change", () => { this.now = Number(select.value); this.draw(); });
    this.now = 0;
    this.marked = new Set();
    this.draw();
  }

  mark(numbers) {
    this.marked = new Set(numbers);
    for (const point of this.host.querySelectorAll(".point")) {
      const here = this.marked.has(Number(point.dataset.scan));
      point.classList.toggle("now", here);
      point.setAttribute("aria-pressed", here);
    }
  }

  draw() {
    const one = this.course[this.now];
    this.host.replaceChildren();
    if (!one) { this.host.innerHTML = `<p class="quiet">One scan: no course.</p>`; return; }
    const known = one.days.every((day) => day !== null) && new Set(one.days).size > 1;
    const places = known ? one.days : one.days.map((_, n) => n);
    const curve = known ? one.curve : null;
    const all = [...one.values, ...(curve ? [...curve.low, ...curve.high] : [])];
    const percent = one.unit === "percent";
    const high = percent ? Math.min(niceTop(Math.max(...all)), 100) : Math.max(...all, 0) + 0.5;
    const low = percent ? 0 : Math.min(...all, 0) - 0.5;
    const first = Math.min(...places), last = Math.max(...places);
    const x = (at) => LEFT + 10 + (W - LEFT - RIGHT - 24) * ((at - first) / (last - first || 1));
    const y = (value) => TOP + (H - TOP - BOTTOM) * (1 - (Math.min(Math.max(value, low), high) - low) / (high - low));
    const svg = node("svg", { viewBox: `0 0 ${W} ${H}`, role: "group", "aria-label": titleOf(one) });
    for (const value of [low, high, ...(percent ? [] : [0])]) {
      svg.append(node("path", { d: `M${LEFT},${y(value)}H${W - RIGHT}`, class: "axis" }));
      svg.append(node("text", { x: LEFT - 4, y: y(value) + 4, "text-anchor": "end" }, Number(value.toFixed(1)).toString()));
    }
    if (curve) {
      const points = (values) => values.map((value, n) => `${x(curve.days[n]).toFixed(1)},${y(value).toFixed(1)}`);
      svg.append(node("path", { class: "band", d: `M${[...points(curve.high), ...points(curve.low).reverse()].join(" ")}z` }));
      svg.append(node("path", { class: "line", d: `M${points(curve.middle).join(" ")}` }));
    }
    let free = -Infinity;
    one.scans.forEach((name, k) => {
      const at = x(places[k]), up = y(one.values[k]), label = known ? `day ${one.days[k]}` : name;
      if (at - free > 38) { svg.append(node("text", { x: at, y: H - 6, "text-anchor": "middle" }, label)); free = at; }
      svg.append(this.point(name, at, up, one.trusted[k], `${label}: ${one.values[k].toFixed(1)}`));
      svg.append(node("text", { x: at, y: up < TOP + 8 ? up + 19 : up - 9, "text-anchor": "middle", class: "value" }, one.values[k].toFixed(1)));
    });
    this.host.append(svg);
    this.mark(this.marked);
  }

  point(name, x, y, trusted, words) {
    const n = this.scans.findIndex((scan) => scan.name === name);
    const made = node("g", { class: `point${trusted ? "" : " hollow"}`, tabindex: 0, role: "button", "data-scan": n, "aria-label": words });
    made.append(node("title", {}, `${words}${trusted ? "" : ", not trusted"}; open this scan`));
    made.append(node("circle", { class: "hit", cx: x, cy: y, r: 14 }), node("circle", { class: "ring", cx: x, cy: y, r: 8 }), node("circle", { class: "dot", cx: x, cy: y, r: 4.5 }));
    made.addEventListener("click", () => this.chosen(n));
    made.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); event.stopPropagation(); this.chosen(n); } });
    return made;
  }
}
