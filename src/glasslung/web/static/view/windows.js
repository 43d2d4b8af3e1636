// Windows: which grey values are black and which white, the same for all scans in view.

export class Windows {
  // offered: [{name, level, width}]; changed(window) is called whenever another one is chosen.
  constructor(host, offered, changed) {
    this.offered = offered;
    this.changed = changed;
    this.buttons = offered.map((one, n) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = one.name;
      button.title = `level ${one.level}, width ${one.width} (${n + 1})`;
      button.addEventListener("click", () => this.choose(n));
      host.append(button);
      return button;
    });
    this.now = { ...offered[0] };
    this.show();
  }

  choose(n) {
    if (!this.offered[n]) return;
    this.set({ ...this.offered[n] });
  }

  // Drag by hand: width by dx, level by dy, in grey values.
  shift(dx, dy) {
    const width = Math.max(2, this.now.width + dx);
    this.set({ name: "by hand", level: this.now.level + dy, width });
  }

  set(window) {
    this.now = window;
    this.show();
    this.changed(window);
  }

  show() {
    this.buttons.forEach((button, n) => button.setAttribute("aria-pressed", this.offered[n].name === this.now.name));
  }

  get low() { return this.now.level - this.now.width / 2; }
  get high() { return this.now.level + this.now.width / 2; }
  get words() { return `${this.now.name}  L ${Math.round(this.now.level)}  W ${Math.round(this.now.width)}`; }
}
