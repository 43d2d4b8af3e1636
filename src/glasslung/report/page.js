// Window, outline and overlay for all pictures at once, and one picture large. The page reads well without it.
(function () {
  "use strict";
  var root = document.documentElement, find = function (id) { return document.getElementById(id); };
  var controls = document.querySelector(".controls");
  var windows = [].slice.call(document.querySelectorAll("input[name=window]"));
  var layers = [].slice.call(document.querySelectorAll("input[name=layer]"));
  var outline = find("show-outline"), overlay = find("show-overlay"), strength = find("overlay-strength");

  function show() {
    var soft = windows.some(function (w) { return w.checked && w.value === "soft-tissue"; });
    root.classList.toggle("soft", soft);
    root.style.setProperty("--show-soft", soft ? 1 : 0);
    root.classList.toggle("density", layers.some(function (l) { return l.checked && l.value === "density"; }));
    root.style.setProperty("--show-outline", outline.checked ? 1 : 0);
    if (overlay) root.style.setProperty("--show-overlay", overlay.checked ? strength.value / 100 : 0);
    if (overlay) root.style.setProperty("--show-heat", overlay.checked ? 1 : 0);
  }
  controls.hidden = false;
  controls.addEventListener("input", show);
  show();

  var big = find("big"), rows = [].slice.call(document.querySelectorAll(".montage")), row = 0, at = 0;
  function tiles(n) { return rows[n].querySelectorAll(".tile"); }
  function draw() {
    var tile = tiles(row)[at], source = tile.querySelector("svg");
    var copy = source.cloneNode(false), use = document.createElementNS("http://www.w3.org/2000/svg", "use");
    use.setAttribute("href", "#" + source.querySelector("g").id);
    copy.appendChild(use);
    find("big-picture").replaceChildren(copy);
    var words = [].slice.call(tile.querySelectorAll("figcaption > *")).map(function (e) { return e.textContent; });
    find("big-caption").textContent = [rows[row].dataset.scan].concat(words).join(" \u00b7 ");
  }
  function open(r, n) { row = r; at = n; draw(); if (!big.open) big.showModal(); }
  function step(by) { var many = tiles(row).length; at = (at + by + many) % many; draw(); }
  function scan(by) {
    var kind = rows[row].dataset.kind;
    do { row = (row + by + rows.length) % rows.length; } while (rows[row].dataset.kind !== kind);
    at = Math.min(at, tiles(row).length - 1);
    draw();
  }
  rows.forEach(function (montage, r) {
    [].forEach.call(montage.querySelectorAll(".tile"), function (tile, n) {
      tile.tabIndex = 0;
      tile.setAttribute("role", "button");
      tile.addEventListener("click", function () { open(r, n); });
      tile.addEventListener("keydown", function (e) {
        if (e.key === "Enter" || e.key === " ") { e.preventDefault(); open(r, n); }
      });
    });
  });
  find("big-before").addEventListener("click", function () { step(-1); });
  find("big-after").addEventListener("click", function () { step(1); });
  find("big-close").addEventListener("click", function () { big.close(); });

  function flip(box) { if (box) { box.checked = !box.checked; show(); } }
  document.addEventListener("keydown", function (e) {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    var key = e.key.toLowerCase(), typing = /^(input|textarea)$/i.test(e.target.tagName) && e.target.type !== "checkbox";
    if (key === "o" && !typing) flip(overlay);
    if (key === "l" && !typing) flip(outline);
    if (key === "m" && !typing && layers.length > 1) {
      layers[(layers.findIndex(function (l) { return l.checked; }) + 1) % layers.length].checked = true;
      show();
    }
    if (key === "w" && !typing && windows.length > 1) {
      windows[(windows.findIndex(function (w) { return w.checked; }) + 1) % windows.length].checked = true;
      show();
    }
    if (!big.open) return;
    var move = { arrowleft: [step, -1], arrowright: [step, 1], arrowup: [scan, -1], arrowdown: [scan, 1] }[key];
    if (move) { e.preventDefault(); move[0](move[1]); }
  });
})();
