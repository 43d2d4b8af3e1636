// Keys: what each does, and the list of them.

const LIST = [
  ["1 … 4", "window: lung, mediastinum, bone, narrow"], ["right drag", "window by hand, all scans"],
  ["↑ ↓, wheel", "next slice"], ["PgUp PgDn", "ten slices"],
  ["← →", "scan before, scan after"], ["N, Shift+N", "next, previous lesion"],
  ["P", "three planes and 3D"], ["A", "axial alone"],
  ["Q, G", "coronal, sagittal alone"], ["D", "3D alone"],
  ["S", "scans side by side, linked"], ["O", "overlays off and on"],
  ["L, F, M, V", "lungs, lesions, relevance, change"], ["+ − 0", "nearer, farther, whole"],
  ["Ctrl+wheel", "nearer, farther"], ["Shift+drag", "move the picture"],
  ["E", "correct the lesions"], ["B, X", "brush, eraser"],
  ["1 2 3", "while correcting: kind of lesion"], ["[ ]", "brush smaller, larger"],
  ["Ctrl+Z, Ctrl+Shift+Z", "undo, redo"], ["Ctrl+S", "save the correction"],
  ["C", "save a picture of the view"], ["T", "light or dark"],
  ["H", "cross off and on"], ["Esc", "leave what is open"], ["?", "this list"],
];

export function fillHelp(dialog) {
  const rows = LIST.map(([key, does]) => `<dt>${key}</dt><dd>${does}</dd>`).join("");
  dialog.innerHTML = `<h2>Keys</h2><dl>${rows}</dl><p class="quiet">A click sets the cross; a click on a lesion or a day goes there. Linked scans follow
    by registration where they could be laid on one another, and by the share of the lungs' extent elsewhere.</p><form method="dialog"><button>Close</button></form>`;
}

// does: name -> function; editing(): whether a correction is open
export function listenToKeys(does, editing) {
  const plain = {
    ArrowUp: () => does.step(1), ArrowDown: () => does.step(-1), PageUp: () => does.step(10), PageDown: () => does.step(-10),
    ArrowLeft: () => does.scan(-1), ArrowRight: () => does.scan(1), "+": () => does.zoom(1.25), "=": () => does.zoom(1.25), "-": () => does.zoom(0.8), 0: does.reset,
    n: () => does.lesion(1), N: () => does.lesion(-1), p: () => does.view("planes"), a: () => does.view("axial"), q: () => does.view("coronal"), g: () => does.view("sagittal"),
    d: () => does.view("solid"), s: () => does.view("serial"), o: does.overlays, h: does.cross, l: () => does.layer("outline"), f: () => does.layer("lesions"), m: () => does.layer("relevance"), v: () => does.layer("change"),
    e: does.edit, c: does.picture, t: does.theme, "?": does.help, b: () => does.brush(1), x: () => does.brush(0), "[": () => does.size(-2), "]": () => does.size(2), Escape: does.leave,
  };
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches?.("input[type=text], input[type=number], select, textarea") || document.querySelector("dialog[open]");
    if (event.ctrlKey || event.metaKey) {
      const held = { z: event.shiftKey ? does.redo : does.undo, Z: does.redo, y: does.redo, s: does.save }[event.key];
      if (held && editing() && !typing) { event.preventDefault(); held(); }
      return;
    }
    if (typing || event.altKey) return;
    if (event.target.matches?.("input[type=range]") && event.key.startsWith("Arrow")) return;
    const digit = Number(event.key);
    const act = digit >= 1 && digit <= 4 ? () => (editing() ? does.brush(digit) : does.window(digit - 1)) : plain[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}
