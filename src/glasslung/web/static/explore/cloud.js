// The pictures in space: one mesh of all squares for each atlas of thumbnails, turned to the viewer, framed by group.
// Squares of one mesh, not instances of one square: four corners are too little work for an instance, and where the
// processor draws (SwiftShader) each instance is prepared like a draw call of its own.
import * as THREE from "three";
import { TrackballControls } from "three/trackball";
import { colourOf, rgb, shapeOf } from "explore/marks";
import { Pace } from "explore/pace";

export const HIDDEN = 0, SHOWN = 1, NEAR = 2, CHOSEN = 3;
const SCALES = [0, 1, 1.25, 1.7]; // of a thumbnail, by its state
const CORNERS = [-0.5, 0.5, 0, -0.5, -0.5, 0, 0.5, 0.5, 0, 0.5, -0.5, 0];

const VERTEX = `
attribute vec3 place; attribute vec2 cell; attribute vec3 colour; attribute vec4 look; attribute float state;
uniform float size; uniform float scales[4]; uniform vec2 cells;
varying vec2 at; varying vec2 sheet; varying vec3 tint; varying vec4 how; varying float told; varying float away;
void main() {
  at = position.xy + 0.5;
  int kind = int(state + 0.5);
  sheet = (cell + vec2(at.x, 1.0 - at.y) * (63.0 / 64.0) + 0.5 / 64.0) / cells;
  tint = colour; how = look; told = state;
  vec4 view = modelViewMatrix * vec4(place, 1.0);
  away = -view.z;
  view.xy += position.xy * size * scales[kind];
  gl_Position = projectionMatrix * view;
  if (kind == 3) gl_Position.z = -0.99 * gl_Position.w; // the chosen one is never covered
  if (kind == 0) gl_Position = vec4(2.0, 2.0, 2.0, 1.0); // outside: no fragment has to be thrown away
}`;

const FRAGMENT = `
precision highp float;
uniform sampler2D atlas; uniform vec3 ground; uniform vec3 rim; uniform float middle; uniform float reach;
varying vec2 at; varying vec2 sheet; varying vec3 tint; varying vec4 how; varying float told; varying float away;

float inShape(int shape, vec2 p) { // p in -1.2 .. 1.2, y up; above 0 inside
  if (shape == 0) return 1.0 - length(p);
  if (shape == 1) return 0.9 - max(abs(p.x), abs(p.y));
  if (shape == 2) return min(p.y + 0.85, 0.5 * (1.0 - p.y) - abs(p.x) + 0.1);
  if (shape == 3) return 1.15 - (abs(p.x) * 1.35 + abs(p.y));
  if (shape == 4) return min(1.0 - max(abs(p.x), abs(p.y)), 0.28 - min(abs(p.x), abs(p.y)));
  if (shape == 5) return 0.27 - abs(length(p) - 0.75);
  if (shape == 6) return min(1.0 - abs(p.x), 0.36 - abs(p.y));
  float angle = atan(p.x, p.y), turn = mod(angle + 0.628319, 1.256637) - 0.628319;
  return mix(1.15, 0.45, abs(turn) / 0.628319) - length(p);
}

void main() {
  vec3 seen = texture2D(atlas, sheet).rrr;
  vec2 edge = min(at, 1.0 - at);
  float border = min(edge.x, edge.y), wide = told > 2.5 ? 0.075 : 0.055;
  bool made = how.y > 0.5;
  float along = edge.x < edge.y ? at.y : at.x;
  if (border < wide) seen = made && fract(along * 6.0) < 0.45 ? vec3(0.03) : (told > 2.5 ? rim : tint);
  if (told > 2.5 && border >= wide && border < wide + 0.05) seen = tint;
  int shape = int(floor(how.x + 0.5));
  vec2 corner = (vec2(at.x, 1.0 - at.y) - 0.145) / 0.1; // y down from the upper edge
  if (shape >= 0 && max(abs(corner.x), abs(corner.y)) < 1.45) {
    seen = inShape(shape, vec2(corner.x, -corner.y)) > 0.0 ? tint : seen * 0.25;
  }
  if (how.z >= 0.0 && at.y < 0.13 && border >= wide * 0.5) {
    seen = at.x < 0.06 + 0.88 * how.z ? tint : seen * 0.25;
  }
  float depth = clamp((away - middle + reach) / (2.0 * reach), 0.0, 1.0);
  seen = mix(seen, ground, (told < 1.5 ? 0.3 : 0.08) * depth); // what is far fades a little
  gl_FragColor = vec4(seen, 1.0);
}`;

export class Cloud {
  constructor(canvas, scene, images) {
    this.canvas = canvas;
    this.scene = scene;
    this.places = scene.places;
    this.states = new Float32Array(scene.count).fill(SHOWN);
    Object.assign(this, extentOf(scene.places));
    this.base = 0.85 / Math.cbrt(scene.count);
    this.size = this.base;
    this.renderer = new THREE.WebGLRenderer({ canvas, antialias: false, powerPreference: "high-performance" });
    this.pace = new Pace(Math.min(window.devicePixelRatio || 1, 2));
    this.renderer.setPixelRatio(this.pace.full);
    this.world = new THREE.Scene();
    this.camera = new THREE.PerspectiveCamera(45, 1, 0.01, 50);
    this.controls = new TrackballControls(this.camera, canvas);
    Object.assign(this.controls, { rotateSpeed: 2.6, zoomSpeed: 1.4, panSpeed: 0.5, dynamicDampingFactor: 0.16 });
    this.controls.keys = []; // ours are in main.js
    this.controls.addEventListener("change", () => { this.dirty = true; });
    this.meshes = images.map((image, number) => this.meshOf(image, number));
    this.lines = this.lineOf(0xffffff, true);
    this.path = this.lineOf(0xf2c36b, false);
    this.traveller = this.travellerOf();
    this.dirty = true;
    this.fit();
  }

  // ------------------------------------------------------------------ what is drawn

  meshOf(image, number) {
    const { columns, rows } = this.scene.atlas, per = columns * columns;
    const first = number * per, count = Math.min(per, this.scene.count - first);
    const texture = new THREE.Texture(image);
    Object.assign(texture, { format: THREE.RedFormat, flipY: false, minFilter: THREE.LinearMipmapLinearFilter });
    texture.needsUpdate = true;
    const shape = new THREE.BufferGeometry(), cell = new Float32Array(2 * count);
    for (let at = 0; at < count; at++) cell.set([at % columns, Math.floor(at / columns)], 2 * at);
    const attribute = (name, array, width) => shape.setAttribute(name, new THREE.BufferAttribute(array, width));
    attribute("position", repeated(CORNERS, 3, count), 3);
    attribute("place", cornered(this.places.subarray(3 * first, 3 * (first + count)), 3), 3);
    attribute("cell", cornered(cell, 2), 2);
    attribute("colour", new Float32Array(3 * 4 * count), 3);
    attribute("look", new Float32Array(4 * 4 * count), 4);
    attribute("state", cornered(this.states.subarray(first, first + count), 1), 1);
    shape.setIndex(new THREE.BufferAttribute(quads(count), 1));
    const material = new THREE.ShaderMaterial({
      vertexShader: VERTEX,
      fragmentShader: FRAGMENT,
      uniforms: {
        atlas: { value: texture },
        cells: { value: new THREE.Vector2(columns, rows[number]) },
        size: { value: this.size },
        scales: { value: SCALES },
        ground: { value: new THREE.Color(0x0d1117) },
        rim: { value: new THREE.Color(0xffffff) },
        middle: { value: 3 },
        reach: { value: 1.2 },
      },
    });
    const mesh = new THREE.Mesh(shape, material);
    mesh.frustumCulled = false;
    mesh.userData = { first, count };
    this.world.add(mesh);
    return mesh;
  }

  lineOf(colour, pairs) {
    const material = new THREE.LineBasicMaterial({ color: colour, transparent: true, opacity: 0.9, depthTest: !pairs });
    const Kind = pairs ? THREE.LineSegments : THREE.Line;
    const line = new Kind(new THREE.BufferGeometry(), material);
    line.frustumCulled = false;
    line.visible = false;
    line.renderOrder = 1;
    this.world.add(line);
    return line;
  }

  travellerOf() {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 64;
    const texture = new THREE.CanvasTexture(canvas);
    texture.colorSpace = THREE.SRGBColorSpace;
    const sprite = new THREE.Sprite(new THREE.SpriteMaterial({ map: texture, depthTest: false }));
    sprite.visible = false;
    sprite.renderOrder = 2;
    this.world.add(sprite);
    return { sprite, canvas, texture };
  }

  // Colours of the page's theme: behind the cloud, around the chosen picture, of the lines to its neighbours.
  setColours(ground, rim, links) {
    const raw = (colour) => new THREE.Color().setStyle(colour, THREE.LinearSRGBColorSpace); // the shader writes what is seen
    this.renderer.setClearColor(new THREE.Color(ground), 1);
    for (const { material } of this.meshes) {
      material.uniforms.ground.value = raw(ground);
      material.uniforms.rim.value = raw(rim);
    }
    this.lines.material.color.set(links);
    this.dirty = true;
  }

  // Frames, marks and bars by the groups of a column; null: all alike.
  paint(column) {
    const plain = { text: "", mark: -1, step: null };
    this.each((row, at, mesh) => {
      const group = column ? column.groups[column.of[row]] : plain;
      const { colour, look } = mesh.geometry.attributes;
      const tint = rgb(colourOf(group));
      const how = [shapeOf(group), this.scene.made[row], group.step === null ? -1 : group.step, 0];
      for (let corner = 4 * at; corner < 4 * at + 4; corner++) {
        colour.array.set(tint, 3 * corner);
        look.array.set(how, 4 * corner);
      }
    });
    for (const mesh of this.meshes) {
      mesh.geometry.attributes.colour.needsUpdate = mesh.geometry.attributes.look.needsUpdate = true;
    }
    this.dirty = true;
  }

  each(act) {
    for (const mesh of this.meshes) {
      for (let at = 0; at < mesh.userData.count; at++) act(mesh.userData.first + at, at, mesh);
    }
  }

  showStates() {
    for (const { geometry, userData } of this.meshes) {
      const { state } = geometry.attributes;
      for (let at = 0; at < userData.count; at++) state.array.fill(this.states[userData.first + at], 4 * at, 4 * at + 4);
      state.needsUpdate = true;
    }
    this.dirty = true;
  }

  setSize(factor) {
    this.size = this.base * factor;
    for (const mesh of this.meshes) mesh.material.uniforms.size.value = this.size;
    this.dirty = true;
  }

  place(row) {
    return new THREE.Vector3(...this.places.subarray(3 * row, 3 * row + 3));
  }

  linkTo(row, others) {
    this.lines.visible = row >= 0;
    if (row >= 0) {
      const points = others.flatMap((other) => [this.place(row), this.place(other)]);
      this.lines.geometry.dispose();
      this.lines.geometry = new THREE.BufferGeometry().setFromPoints(points);
    }
    this.dirty = true;
  }

  // points: [x, y, z] along a walk; null takes it away.
  drawPath(points) {
    this.path.visible = this.traveller.sprite.visible = Boolean(points);
    if (points) {
      this.path.geometry.dispose();
      this.path.geometry = new THREE.BufferGeometry().setFromPoints(points.map((one) => new THREE.Vector3(...one)));
    }
    this.dirty = true;
  }

  showTraveller(picture, point) {
    const { sprite, canvas, texture } = this.traveller, pen = canvas.getContext("2d");
    pen.imageSmoothingEnabled = true;
    pen.drawImage(picture, 3, 3, 58, 58);
    pen.strokeStyle = "#f2c36b";
    pen.lineWidth = 4;
    pen.strokeRect(2, 2, 60, 60);
    texture.needsUpdate = true;
    sprite.position.set(...point);
    sprite.scale.setScalar(2 * this.size);
    this.dirty = true;
  }

  // ------------------------------------------------------------------ where one looks from

  fit() {
    this.controls.reset();
    this.controls.target.copy(this.middle);
    this.camera.up.set(0, 1, 0);
    this.camera.position.set(0.2, 0.16, 1).setLength(this.distance()).add(this.middle);
    this.camera.lookAt(this.middle);
    this.controls.update();
    this.dirty = true;
  }

  // So far away that the cloud fills the narrower side; few pictures lie at the edge of the ball around it.
  distance() {
    return 0.85 * (this.reach + this.size) / Math.sin((this.camera.fov * Math.PI) / 360) / Math.min(1, this.camera.aspect || 1);
  }

  // Both pictures are brought into view, from the direction in which one looks, where one of them is not.
  showBoth(first, second) {
    const { width, height } = this.lens();
    const seen = [first, second].every((row) => {
      const { x, y, half, depth } = this.onScreen(row);
      return depth > this.camera.near && x > half && y > half && x < width - half && y < height - half;
    });
    if (seen) return;
    const ends = [this.place(first), this.place(second)], middle = ends[0].clone().add(ends[1]).multiplyScalar(0.5);
    const offset = this.camera.position.clone().sub(this.controls.target);
    const far = (ends[0].distanceTo(ends[1]) / 2 + 2 * this.size) / Math.sin((this.camera.fov * Math.PI) / 360);
    this.controls.target.copy(middle);
    this.camera.position.copy(middle).add(offset.setLength(far / Math.min(1, this.camera.aspect || 1)));
    this.dirty = true;
  }

  turn(right, up) {
    const offset = this.camera.position.clone().sub(this.controls.target);
    const side = new THREE.Vector3().crossVectors(this.camera.up, offset).normalize();
    const turned = new THREE.Quaternion().setFromAxisAngle(this.camera.up.clone().normalize(), right);
    turned.multiply(new THREE.Quaternion().setFromAxisAngle(side, up));
    offset.applyQuaternion(turned);
    this.camera.up.applyQuaternion(turned).normalize();
    this.camera.position.copy(this.controls.target).add(offset);
    this.camera.lookAt(this.controls.target);
    this.dirty = true;
  }

  nearer(factor) {
    const offset = this.camera.position.clone().sub(this.controls.target).multiplyScalar(factor);
    this.camera.position.copy(this.controls.target).add(offset);
    this.dirty = true;
  }

  // A picture chosen from a list: it is brought to the middle, from where one looks now.
  centre(row) {
    const to = this.place(row), offset = this.camera.position.clone().sub(this.controls.target);
    this.controls.target.copy(to);
    this.camera.position.copy(to).add(offset.setLength(Math.min(offset.length(), 1.7)));
    this.dirty = true;
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas.parentElement;
    if (!width || !height) return;
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    this.controls.handleResize();
    this.dirty = true;
  }

  // ------------------------------------------------------------------ from the screen to a picture and back

  // What turns places into points of the canvas, as the camera stands now.
  lens() {
    this.camera.updateMatrixWorld();
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const far = height / 2 / Math.tan((this.camera.fov * Math.PI) / 360);
    return { e: this.camera.matrixWorldInverse.elements, width, height, far, near: this.camera.near };
  }

  // Where a picture stands on the canvas: middle and half side in CSS pixels, and its depth.
  onScreen(row, lens = this.lens()) {
    const { e } = lens, [x, y, z] = [this.places[3 * row], this.places[3 * row + 1], this.places[3 * row + 2]];
    const behind = -(e[2] * x + e[6] * y + e[10] * z + e[14]), scale = lens.far / behind;
    return {
      x: lens.width / 2 + (e[0] * x + e[4] * y + e[8] * z + e[12]) * scale,
      y: lens.height / 2 - (e[1] * x + e[5] * y + e[9] * z + e[13]) * scale,
      half: (this.size * SCALES[this.states[row]] * scale) / 2,
      depth: this.states[row] === CHOSEN && behind > lens.near ? lens.near * 1.01 : behind,
    };
  }

  // The foremost picture under a point of the canvas, -1 where there is none.
  pick(x, y) {
    const lens = this.lens();
    let found = -1, nearest = Infinity;
    for (let row = 0; row < this.scene.count; row++) {
      if (this.states[row] === HIDDEN) continue;
      const at = this.onScreen(row, lens);
      if (at.depth <= this.camera.near || at.depth >= nearest) continue;
      if (Math.abs(at.x - x) <= at.half && Math.abs(at.y - y) <= at.half) [found, nearest] = [row, at.depth];
    }
    return found;
  }

  // Draws where something changed; true where it drew.
  draw() {
    this.controls.update();
    if (!this.dirty) return false;
    this.dirty = false;
    const middle = this.camera.position.distanceTo(this.middle);
    for (const mesh of this.meshes) mesh.material.uniforms.middle.value = middle;
    this.renderer.render(this.world, this.camera);
    return true;
  }

  // A frame of the running page: as finely as this machine can while something moves. True where it drew.
  frame(now) {
    const drew = this.draw(), ratio = this.pace.next(now, drew);
    if (ratio !== this.renderer.getPixelRatio()) {
      this.renderer.setPixelRatio(ratio);
      this.dirty = true;
    }
    return drew;
  }

  // Whether what is seen now is drawn as finely as the screen can show it.
  get sharp() {
    return !this.dirty && this.renderer.getPixelRatio() === this.pace.full;
  }
}

// The middle of the cloud and how far it reaches, without the one in fifty that lies farthest out.
function extentOf(places) {
  const axes = [0, 1, 2].map((axis) => places.filter((_, at) => at % 3 === axis).sort());
  const last = axes[0].length - 1, low = Math.floor(0.01 * last), high = Math.ceil(0.99 * last);
  const middle = new THREE.Vector3(...axes.map((sorted) => (sorted[low] + sorted[high]) / 2));
  const away = new Float32Array(axes[0].length);
  for (let row = 0; row <= last; row++) {
    away[row] = middle.distanceTo(new THREE.Vector3(...places.subarray(3 * row, 3 * row + 3)));
  }
  return { middle, reach: away.sort()[Math.ceil(0.98 * last)] };
}

// Three numbers for each of `count` squares' corners, the same for all squares.
function repeated(corners, width, count) {
  const all = new Float32Array(4 * width * count);
  for (let at = 0; at < count; at++) all.set(corners, 4 * width * at);
  return all;
}

// What belongs to a picture, at each of its four corners.
function cornered(values, width) {
  const all = new Float32Array(4 * values.length);
  for (let at = 0; at < all.length; at++) all[at] = values[width * Math.floor(at / (4 * width)) + (at % width)];
  return all;
}

// Two triangles for each square.
function quads(count) {
  const index = new Uint32Array(6 * count);
  for (let at = 0; at < count; at++) index.set([0, 1, 2, 2, 1, 3].map((corner) => 4 * at + corner), 6 * at);
  return index;
}
