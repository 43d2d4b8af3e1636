// What colours mean, how many there are of each, and which of them are shown.
import { drawMark } from "explore/marks";
import { make } from "explore/panel";

export class Legend {
  constructor(scene, repaint, restate) {
    Object.assign(this, { scene, repaint, restate });
    this.columns = scene.columns.filter((one) => one.kind !== "text");
    this.hidden = new Map(this.columns.map((one) => [one.name, new Set()]));
    this.list = document.getElementById("groups");
    const select = document.getElementById("colour");
    select.append(...this.columns.map((one) => make("option", { value: one.name }, one.name === "kind" ? "real or made" : one.name)));
    select.disabled = !this.columns.length;
    if (!this.columns.length) select.append(make("option", {}, "nothing known"));
    select.addEventListener("change", () => this.choose(select.value));
    document.getElementById("all-groups").addEventListener("click", () => this.showAll());
    this.column = this.columns[0] ?? null;
    this.count();
    this.draw();
  }

  choose(name) {
    this.column = this.scene.column(name);
    this.draw();
    this.repaint();
  }

  shows(row) {
    return this.visible[row] === 1;
  }

  // A picture is shown when no column hides its group.
  count() {
    this.visible = new Uint8Array(this.scene.count).fill(1);
    for (const column of this.columns) {
      const hidden = this.hidden.get(column.name);
      if (hidden.size) column.of.forEach((group, row) => { if (hidden.has(group)) this.visible[row] = 0; });
    }
    this.shown = this.visible.reduce((sum, one) => sum + one, 0);
    document.getElementById("all-groups").hidden = this.shown === this.scene.count;
  }

  changed() {
    this.count();
    this.draw();
    this.restate();
  }

  showAll() {
    for (const hidden of this.hidden.values()) hidden.clear();
    this.changed();
  }

  only(number) {
    const hidden = this.hidden.get(this.column.name);
    hidden.clear();
    this.column.groups.forEach((_, at) => { if (at !== number) hidden.add(at); });
    this.changed();
  }

  draw() {
    if (!this.column) return;
    const hidden = this.hidden.get(this.column.name), { activeElement: before } = document;
    const [group, only] = [before?.dataset?.group, before?.className === "only"];
    this.list.replaceChildren(...this.column.groups.map((group, number) => {
      const box = make("input", {
        type: "checkbox", "data-group": group.text,
        onchange: () => { box.checked ? hidden.delete(number) : hidden.add(number); this.changed(); },
      });
      box.checked = !hidden.has(number);
      return make("li", {},
        make("label", {}, box, drawMark(make("canvas"), group), make("span", { class: "text", title: group.text }, group.text),
          make("span", { class: "number" }, String(group.count))),
        make("button", { type: "button", class: "only", "data-group": group.text, title: `Show ${group.text} alone`,
          onclick: () => this.only(number) }, "only"));
    }));
    if (group === undefined) return; // else the keyboard goes on where it was
    const same = [...this.list.querySelectorAll("[data-group]")].filter((one) => one.dataset.group === group);
    same.find((one) => (one.className === "only") === only)?.focus();
  }
}
