// Where a place of one scan lies in another: heights by registration from neighbour to neighbour where it is
// known, all else by the share of the lungs' extent. Places are RAS millimetres.

const shareOf = (value, [low, high]) => (high > low ? (value - low) / (high - low) : 0.5);
const atShare = (share, [low, high]) => low + share * (high - low);

// Linear between the pairs of two rising or falling lists, and with the end's slope beyond them.
export function between(value, from, to) {
  const order = from.map((_, n) => n).sort((a, b) => from[a] - from[b]);
  const x = order.map((n) => from[n]);
  const y = order.map((n) => to[n]);
  let n = x.findIndex((one) => one > value);
  if (n === -1) n = x.length - 1;
  n = Math.max(1, n);
  const slope = (y[n] - y[n - 1]) / (x[n] - x[n - 1] || 1);
  return y[n - 1] + slope * (value - x[n - 1]);
}

// links[n]: {extent: {x, y, z} or null, levels: [heights here, heights in the scan before] or null}
export function carried(place, from, to, links) {
  if (from === to) return [...place];
  const here = links[from]?.extent, there = links[to]?.extent;
  const [x, y] = ["x", "y"].map((axis, n) => (here && there ? atShare(shareOf(place[n], here[axis]), there[axis]) : place[n]));
  let z = place[2];
  const step = to > from ? 1 : -1;
  for (let at = from; at !== to; at += step) {
    const later = step > 0 ? at + 1 : at;
    const levels = links[later]?.levels;
    const a = links[at]?.extent, b = links[at + step]?.extent;
    if (levels) z = step > 0 ? between(z, levels[1], levels[0]) : between(z, levels[0], levels[1]);
    else if (a && b) z = atShare(shareOf(z, a.z), b.z);
  }
  return [x, y, z];
}
