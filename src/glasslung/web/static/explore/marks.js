// Colours that the colour-blind can tell apart, and a shape beside each: no group is known by its colour alone.

// Okabe & Ito 2008; the blue is lighter than theirs, to be seen on black.
export const COLOURS = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#3f8fd6", "#d55e00", "#cc79a7", "#c8ced4"];
export const SHAPES = ["circle", "square", "triangle", "diamond", "cross", "ring", "bar", "star"];
export const NOBODY = "#6b7783";
// Five steps of cividis (Nuñez, Anderton & Renslow 2018), lifted where it is nearly black.
const CIVIDIS = ["#2f4f86", "#575d6d", "#7c7b78", "#a59c74", "#fdea45"];

export function colourOf(group) {
  if (group.step !== null) return CIVIDIS[Math.round(group.step * (CIVIDIS.length - 1))];
  return group.mark < 0 ? NOBODY : COLOURS[group.mark % COLOURS.length];
}

// The second round of colours has other shapes, so that colour and shape together are one group's own.
export function shapeOf(group) {
  if (group.step !== null || group.mark < 0) return -1;
  return (group.mark + 3 * Math.floor(group.mark / COLOURS.length)) % SHAPES.length;
}

export function rgb(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255);
}

// The same shapes as the shader in cloud.js draws, for legend and lists.
export function drawMark(canvas, group) {
  const side = 36, pen = canvas.getContext("2d"), middle = side / 2, reach = 12;
  canvas.width = canvas.height = side;
  pen.fillStyle = pen.strokeStyle = colourOf(group);
  pen.lineWidth = 5;
  if (group.step !== null) {
    pen.fillRect(3, 12, 4 + 26 * group.step, 12);
    return canvas;
  }
  const shape = SHAPES[shapeOf(group)];
  const polygon = (points) => {
    pen.beginPath();
    for (const [x, y] of points) pen.lineTo(middle + x * reach, middle + y * reach);
    pen.closePath();
    pen.fill();
  };
  if (shape === "circle") { pen.beginPath(); pen.arc(middle, middle, reach, 0, 7); pen.fill(); }
  else if (shape === "square") polygon([[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]]);
  else if (shape === "triangle") polygon([[0, -1], [1, 0.85], [-1, 0.85]]);
  else if (shape === "diamond") polygon([[0, -1.15], [0.85, 0], [0, 1.15], [-0.85, 0]]);
  else if (shape === "cross") { pen.fillRect(15, 6, 6, 24); pen.fillRect(6, 15, 24, 6); }
  else if (shape === "ring") { pen.beginPath(); pen.arc(middle, middle, 9, 0, 7); pen.stroke(); }
  else if (shape === "bar") pen.fillRect(6, 14, 24, 8);
  else if (shape === "star") {
    polygon(Array.from({ length: 10 }, (_, n) => {
      const far = n % 2 ? 0.45 : 1.15, angle = (n * Math.PI) / 5 - Math.PI / 2;
      return [far * Math.cos(angle), far * Math.sin(angle)];
    }));
  } else { pen.globalAlpha = 0.8; pen.strokeRect(9, 9, 18, 18); }
  return canvas;
}
