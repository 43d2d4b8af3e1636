// The chest in 3D: lungs like glass, lesions solid in their colours, a mark where one is.

import { Niivue, NVMesh, SLICE_TYPE } from "niivue";

const LUNGS = [150, 190, 215, 255];
const OPTIONS = {
  dragAndDropEnabled: false, backColor: [0, 0, 0, 1], show3Dcrosshair: true, crosshairColor: [0.95, 0.76, 0.42, 1], crosshairWidth: 1.2,
  isOrientCube: true, isColorbar: false, showLegend: false, logLevel: "error", loadingText: "", meshXRay: 0,
  isOrientationTextVisible: true, fontColor: [0.86, 0.9, 0.94, 1], fontMinPx: 14,
  viewModeHotKey: "", clipPlaneHotKey: "", cycleClipPlaneHotKey: "",
};

export class Solid {
  constructor(state) {
    this.state = state;
    this.box = document.createElement("div");
    this.box.className = "solid pane";
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("aria-label", "Lungs and lesions in three dimensions");
    this.caption = document.createElement("div");
    this.caption.className = "caption";
    this.box.append(this.canvas, this.caption);
  }

  async attach(host) {
    host.append(this.box);
    if (this.nv) return;
    this.nv = new Niivue(OPTIONS);
    await this.nv.attachToCanvas(this.canvas, true);
    this.nv.opts.sliceType = SLICE_TYPE.RENDER;
  }

  // Surfaces of one scan; those of another are taken away.
  async show(n) {
    if (this.n === n) return;
    this.n = n;
    const scan = this.state.case.scans[n], wanted = [];
    const colours = Object.values(this.state.case.colours.lesions);
    if (scan.layers.includes("lesions")) colours.forEach((rgb, k) => wanted.push([`lesions-${k + 1}`, [...rgb, 255], 1]));
    else if (scan.layers.includes("opacities")) wanted.push(["opacities", [...colours[0], 255], 1]);
    if (scan.layers.includes("lungs")) wanted.push(["lungs", LUNGS, 0.35]);
    const made = [];
    for (const [name, rgba255, opacity] of wanted) {
      const answer = await fetch(`/scan/${n}/surface/${name}.mz3`);
      const content = await answer.arrayBuffer();
      if (answer.ok && content.byteLength) made.push(await NVMesh.readMesh(content, `${name}.mz3`, this.nv.gl, opacity, rgba255));
    }
    if (this.n !== n) return;  // another scan was asked for meanwhile
    for (const mesh of [...this.nv.meshes]) this.nv.removeMesh(mesh);
    for (const mesh of made) this.nv.addMesh(mesh);
    const lungs = made.find((mesh) => mesh.name === "lungs.mz3");
    if (lungs) this.nv.reverseFaces(lungs.id);  // their far wall alone: what lies inside is not veiled
    this.nv.setRenderAzimuthElevation(180, 12);
    const day = scan.day === null ? "" : ` · ${scan.label}`;
    this.caption.textContent = `${scan.name}${day}\n${made.length ? "3D, drag to turn; A is the patient's front" : "3D, no mask to be shown"}`;
    this.go(this.at);
  }

  go(mm) {
    this.at = mm;
    if (!mm || !this.nv?.meshes.length) return;
    this.nv.scene.crosshairPos = this.nv.mm2frac(mm);
    this.nv.drawScene();
  }
}
