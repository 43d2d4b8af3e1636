// Overlays: what can be laid over a scan, in which colours, how strong; shared by all scans in view.

import { NVImage } from "niivue";

const TABLE = [
  { key: "lesions", name: "Lesions", file: "lesions", on: true, strength: 45 },  // as corrected last, where they are
  { key: "original", name: "Lesions as found", file: "lesions", on: false, strength: 45 },
  { key: "opacities", name: "Dense by rule", file: "opacities", on: false, strength: 40 },
  { key: "infection", name: "Infection map", file: "infection", on: false, strength: 60 },
  { key: "change", name: "Change", file: "change", on: false, strength: 55 },
  { key: "relevance", name: "Relevance", file: "relevance", on: false, strength: 70 },
  { key: "outline", name: "Lungs", file: "outline", on: true, strength: 80 },
];
export const ORDER = TABLE.map((one) => one.key);

const labels = (colours, names) => ({
  R: [0, ...colours.map((c) => c[0])], G: [0, ...colours.map((c) => c[1])], B: [0, ...colours.map((c) => c[2])],
  A: [0, ...colours.map(() => 255)], I: [0, ...colours.map((_, n) => n + 1)], labels: ["", ...names],
});
const FADING = 1;  // NiiVue's word for: the weaker the value, the clearer, up to cal_min
// NiiVue fades by the square of a value; from the root it fades evenly. Beyond the full colour it stays full.
function even(image, full) {
  const most = full / (image.hdr.scl_slope || 1), { img } = image;
  for (let n = 0; n < img.length; n++) img[n] = Math.sign(img[n]) * most * Math.sqrt(Math.min(Math.abs(img[n]) / most, 1));
}
const rise = ([r, g, b]) => ({ R: [r, r], G: [g, g], B: [b, b], A: [0, 255], I: [0, 255] });

export class Layers {
  // scans, colours: as the server tells them; changed(key) after a switch or slider moved.
  constructor(host, scans, colours, changed) {
    this.colours = colours;
    this.changed = changed;
    this.rows = new Map();
    this.hidden = false;
    const there = new Set(scans.flatMap((scan) => scan.layers));
    if (there.has("lungs")) there.add("outline");
    for (const one of TABLE) if (one.key === "lesions" || there.has(one.file)) this.addRow(host, one);
    this.offer("lesions", there.has("lesions"));
    this.offer("original", false);
  }

  addRow(host, one) {
    const row = document.createElement("div");
    row.className = "overlay";
    row.dataset.layer = one.key;
    row.innerHTML = `<input type="checkbox" id="on-${one.key}"><label for="on-${one.key}"><span></span></label>`
      + `<input type="range" min="0" max="100" step="1"><output></output><div class="legend"></div>`;
    const [check, slider] = row.querySelectorAll("input");
    row.querySelector("label span").textContent = one.name;
    slider.setAttribute("aria-label", `${one.name}, strength in per cent`);
    check.checked = one.on;
    slider.value = one.strength;
    this.rows.set(one.key, { row, check, slider, available: true });
    check.addEventListener("change", () => { this.hidden = false; this.show(one.key); });
    slider.addEventListener("input", () => { check.checked = true; this.hidden = false; this.show(one.key); });
    slider.addEventListener("pointerup", () => slider.blur());  // so that arrows go on through slices
    this.legend(row.querySelector(".legend"), one.key);
    host.append(row);
    row.querySelector("output").textContent = `${slider.value} %`;
  }

  legend(host, key) {
    const { lesions, change, relevance } = this.colours;
    const pairs = { lesions, change, relevance: { "for the finding": relevance.for, "against it": relevance.against } }[key];
    if (!pairs) { host.remove(); return; }
    for (const [name, rgb] of Object.entries(pairs)) {
      const item = document.createElement("span");
      item.innerHTML = `<i class="swatch"></i>`;
      item.firstChild.style.background = `rgb(${rgb})`;
      item.append(name);
      host.append(item);
    }
  }

  // Whether an overlay stands in the list: the lesions as found, for one, once they were corrected.
  offer(key, yes) {
    const found = this.rows.get(key);
    if (!found) return;
    found.available = yes;
    found.row.style.display = yes ? "" : "none";
  }

  // 0 to 1; 0 where the overlay is switched off.
  strength(key) {
    const found = this.rows.get(key);
    return found && found.available && found.check.checked && !this.hidden ? found.slider.value / 100 : 0;
  }

  toggle(key) {
    const found = this.rows.get(key);
    if (!found) return;
    found.check.checked = !found.check.checked;
    this.hidden = false;
    this.show(key);
  }

  set(key, on, strength) {
    const found = this.rows.get(key);
    if (!found) return;
    found.check.checked = on;
    if (strength !== undefined) found.slider.value = strength;
    this.show(key);
  }

  hideAll(yes = !this.hidden) {
    this.hidden = yes;
    document.getElementById("overlays-all").textContent = yes ? "Show all" : "Hide all";
    for (const key of this.rows.keys()) this.changed(key);
  }

  show(key) {
    const { row, slider } = this.rows.get(key);
    row.querySelector("output").textContent = `${slider.value} %`;
    document.getElementById("overlays-all").textContent = this.hidden ? "Show all" : "Hide all";
    this.changed(key);
  }

  // The overlay of one scan as an image; null where the scan has none.
  async open(key, n, scan, facts) {
    const address = this.address(key, n, scan, facts);
    if (!address) return null;
    const options = { url: address, name: `${key}.nii.gz`, opacity: 0, colorbarVisible: false };
    if (key === "relevance") Object.assign(options, this.heat(facts));
    if (key === "infection") Object.assign(options, { colormap: "glass-infection", cal_min: 1, cal_max: 1.01 });
    const image = await NVImage.loadFromUrl(options);
    if (key === "relevance" || key === "infection") {
      even(image, options.cal_min);
      image.colormapType = FADING;
    }
    const table = this.table(key);
    if (table) image.setColormapLabel(table);
    image.layerKey = key;
    return image;
  }

  address(key, n, scan, facts) {
    const last = facts.corrections.at(-1);
    if (key === "lesions" && last) return `/scan/${n}/correction/${last.file}`;
    const file = TABLE.find((one) => one.key === key).file;
    return scan.layers.includes(file === "outline" ? "lungs" : file) ? `/scan/${n}/volume/${file}.nii.gz` : null;
  }

  heat(facts) {
    const full = facts.relevance_full || 1;
    return { colormap: "glass-for", colormapNegative: "glass-against", cal_min: full, cal_max: 1.01 * full };
  }

  table(key) {
    const { lungs, lesions, change } = this.colours;
    if (key === "outline") return labels([lungs, lungs, lungs], ["right lung", "left lung", "lung"]);
    if (key === "lesions" || key === "original") return labels(Object.values(lesions), Object.keys(lesions));
    if (key === "opacities") return labels([Object.values(lesions)[0]], ["dense by rule"]);
    if (key === "change") return labels(["stayed", "appeared", "cleared"].map((name) => change[name]), ["stayed", "appeared", "cleared"]);
    return null;
  }

  // Colour ramps of the maps, known to a NiiVue before it opens them.
  teach(nv) {
    nv.addColormap("glass-for", rise(this.colours.relevance.for));
    nv.addColormap("glass-against", rise(this.colours.relevance.against));
    nv.addColormap("glass-infection", rise([240, 228, 66]));
  }
}
