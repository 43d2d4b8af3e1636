// What Python computed, unpacked: places, codes, columns. Nothing is computed here that is a figure.

export function floats(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

export async function loadScene() {
  const inside = document.getElementById("scene");
  const told = inside ? JSON.parse(inside.textContent) : await fetched("scene.json");
  return prepared(told);
}

async function fetched(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`the server answered ${answer.status} to ${url}`);
  return answer.json();
}

function prepared(told) {
  const scene = { ...told, places: floats(told.places), columns: told.columns.map(withGroups) };
  scene.nameOf = (row) => (told.names ? told.names[row] : `picture ${row + 1}`);
  scene.column = (name) => scene.columns.find((one) => one.name === name);
  scene.made = madeOnes(scene);
  return scene;
}

// Every column that can be coloured becomes groups: numbers in five steps of equal count.
function withGroups(column) {
  if (column.kind === "text") return column;
  return column.kind === "numbers" ? inSteps(column) : inGroups(column);
}

function inGroups(column) {
  const kept = column.values.length > column.most ? column.most - 1 : column.values.length;
  const groups = column.values.slice(0, kept).map((text, number) => ({ text, mark: number, step: null }));
  if (kept < column.values.length) groups.push({ text: `other (${column.values.length - kept})`, mark: -1, step: null });
  return ended(column, groups, column.of.map((value) => (value < 0 ? -1 : Math.min(value, groups.length - 1))));
}

const STEPS = 5;

function inSteps(column) {
  const numbers = column.of.map((value) => (value < 0 ? NaN : Number(column.values[value])));
  const sorted = numbers.filter((one) => !Number.isNaN(one)).sort((a, b) => a - b);
  const cuts = [];
  for (let step = 1; step < STEPS; step++) {
    const cut = sorted[Math.floor((step * sorted.length) / STEPS)];
    if (cut > (cuts.length ? cuts[cuts.length - 1] : sorted[0])) cuts.push(cut);
  }
  const stepOf = (one) => cuts.filter((cut) => one >= cut).length;
  const members = Array.from({ length: cuts.length + 1 }, () => []);
  for (const one of sorted) members[stepOf(one)].push(one);
  const short = (one) => String(Number(one.toPrecision(3)));
  const groups = members.map((each, step) => {
    const [low, high] = [short(each[0]), short(each[each.length - 1])];
    return { text: low === high ? low : `${low} to ${high}`, mark: null, step: cuts.length ? step / cuts.length : 1 };
  });
  return ended(column, groups, numbers.map((one) => (Number.isNaN(one) ? -1 : stepOf(one))));
}

function ended(column, groups, of) {
  if (of.includes(-1)) {
    groups.push({ text: "unknown", mark: -1, step: null });
    of = of.map((one) => (one < 0 ? groups.length - 1 : one));
  }
  const counts = groups.map(() => 0);
  for (const one of of) counts[one] += 1;
  groups.forEach((group, number) => { group.count = counts[number]; });
  return { ...column, groups, of, raw: column.of };
}

function madeOnes(scene) {
  const kind = scene.columns.find((one) => one.name === "kind");
  if (!kind || kind.kind === "text") return scene.places.length ? new Uint8Array(scene.count) : null;
  return Uint8Array.from(kind.raw, (value) => (value >= 0 && /^(made|synthetic|generated)$/i.test(kind.values[value]) ? 1 : 0));
}

export function factsOf(scene, row) {
  const facts = scene.columns
    .map((column) => [column.name, column.values[(column.raw ?? column.of)[row]]])
    .filter(([, text]) => text !== undefined);
  const [height, width] = scene.sizes[row];
  return [...facts, ["size", `${width} x ${height} pixels`]];
}
