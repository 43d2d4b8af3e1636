// The lesions of the scan in view, one row each, and what became of them since the scan before.

const FATES = {  // a sign and a colour each, so that neither is needed alone
  new: ["+", "#d55e00"], grown: ["▲", "#d55e00"], steady: ["=", "#a5b1bd"], shrunk: ["▼", "#56b4e9"], resolved: ["−", "#56b4e9"],
};
const ml = (value) => (value >= 10 ? value.toFixed(0) : value.toFixed(1));

export class Table {
  // told: the whole case; go(mm, row) is called when a lesion is chosen.
  constructor(told, go) {
    Object.assign(this, { told, go, tab: "now", rows: [], at: -1 });
    [this.title, this.tabs, this.note, this.head, this.body] = ["title", "tabs", "note", "head", "rows"].map((name) => document.getElementById(`found-${name}`));
    this.cache = new Map();
  }

  // which: the mask the list is made of, 'lesions', 'opacities' or a correction's file; '' for none
  async show(n, which) {
    this.n = n;
    this.which = which;
    this.pair = this.told.comparisons.find((one) => one.after === this.told.scans[n].name) || null;
    if (!this.pair) this.tab = "now";
    this.showTabs();
    if (this.tab === "change") { this.showChange(); return; }
    this.title.textContent = "Lesions";
    if (!which) { this.fill([], [], "No mask of lesions."); return; }
    const key = `${n}/${which}`;
    if (!this.cache.has(key)) this.cache.set(key, fetch(`/scan/${n}/lesions/${which}.json`).then((answer) => answer.json()));
    const found = await this.cache.get(key);
    if (this.n !== n || this.which !== which || this.tab !== "now") return;
    if (found.problem) { this.fill([], [], found.problem); return; }
    this.showNow(found);
  }

  showTabs() {
    this.tabs.replaceChildren();
    if (!this.pair) return;
    for (const [key, text] of [["now", "This scan"], ["change", `Since ${this.pair.before}`]]) {
      const button = document.createElement("button");
      button.type = "button";
      button.role = "tab";
      button.textContent = text;
      button.setAttribute("aria-selected", this.tab === key);
      button.addEventListener("click", () => { this.tab = key; this.at = -1; this.show(this.n, this.which); });
      this.tabs.append(button);
    }
  }

  showNow(found) {
    const colours = this.told.colours.lesions, doubts = this.told.scans[this.n].doubts;
    const by = this.which === "opacities" ? "dense by rule" : this.which === "lesions" ? this.told.scans[this.n].facts.lesions_by : "corrected";
    const more = found.small ? `, ${found.small} more below 0.1 ml` : "";
    const note = `${found.count} lesion${found.count === 1 ? "" : "s"} (${by})${more}.`;
    const rows = found.lesions.map((one, n) => {
      const kinds = Object.entries(one.kinds).sort((a, b) => b[1] - a[1]);
      const first = kinds[0]?.[0] || Object.keys(colours)[0];
      const words = kinds.length > 1 && kinds[0][1] < 0.995 * one.ml ? `${first} ${Math.round((100 * kinds[0][1]) / one.ml)} %` : kinds.length ? first : "dense";
      return { mm: one.mm, cells: [`${n + 1}`, { swatch: `rgb(${colours[first]})`, text: words }, one.side || "outside", { num: ml(one.ml) }] };
    });
    this.fill(["#", "mostly", "lung", { num: "ml" }], rows, note, doubts[0]);
  }

  showChange() {
    this.title.textContent = "Lesions";
    const pair = this.pair;
    if (pair.reasons.length) { this.fill([], [], `Not laid on one another: ${pair.reasons.join("; ")}.`); return; }
    const rows = pair.lesions.map((one) => ({
      mm: one.mm, cells: [{ fate: one.fate }, { num: ml(one.before_ml) }, { num: ml(one.after_ml) }, { num: `${one.after_ml >= one.before_ml ? "+" : "−"}${ml(Math.abs(one.after_ml - one.before_ml))}` }],
    }));
    this.fill(["since", { num: "before" }, { num: "now" }, { num: "ml" }], rows, `Lesions by ${pair.by}, on this scan's grid.`, pair.cautions[0]);
  }

  fill(head, rows, note, care = "") {
    this.rows = rows;
    this.at = -1;
    this.note.textContent = note;
    if (care) {
      const more = document.createElement("span");
      more.className = "care";
      more.textContent = ` ${care[0].toUpperCase()}${care.slice(1)}.`;
      this.note.append(more);
    }
    this.head.replaceChildren(this.row(head, "th"));
    this.body.replaceChildren(...rows.map((one, n) => {
      const line = this.row(one.cells, "td");
      line.tabIndex = 0;
      line.dataset.lesion = n;
      line.addEventListener("click", () => this.choose(n));
      line.addEventListener("keydown", (event) => { if (event.key === "Enter") this.choose(n); });
      return line;
    }));
  }

  row(cells, kind) {
    const line = document.createElement("tr");
    for (const cell of cells) {
      const made = document.createElement(kind);
      if (cell.num !== undefined) { made.className = "num"; made.textContent = cell.num; }
      else if (cell.swatch) { made.innerHTML = `<i class="swatch"></i>`; made.firstChild.style.background = cell.swatch; made.append(cell.text); }
      else if (cell.fate) {
        const [sign, colour] = FATES[cell.fate];
        made.innerHTML = `<span class="mark"></span>`;
        made.firstChild.textContent = sign;
        made.firstChild.style.color = colour;
        made.append(cell.fate);
      } else made.textContent = cell;
      line.append(made);
    }
    return line;
  }

  choose(n) {
    if (!this.rows[n]) return;
    this.at = n;
    [...this.body.children].forEach((line, k) => line.setAttribute("aria-current", k === n));
    this.body.children[n].scrollIntoView({ block: "nearest" });
    this.go(this.rows[n].mm);
  }

  next(by) {
    if (this.rows.length) this.choose((this.at + by + this.rows.length) % this.rows.length);
  }
}
