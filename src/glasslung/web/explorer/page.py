"""The explorer's page: one skeleton, filled for a server or as one file that asks no network for anything.

Scripts know each other by bare names (`three`, `explore/cloud`), which a map in the page resolves: to
addresses of the server, or to the scripts themselves as data.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from glasslung.errors import UsageError
from glasslung.files import write_whole
from glasslung.web.assets import STATIC, asset, digest
from glasslung.web.explorer.scene import Scene, as_json

SCRIPTS = ("main", "cloud", "legend", "panel", "walk", "decoder", "scene", "marks", "pace")
MODULES = {
    "three": "three/three.module.js",
    "three/core": "three/three.core.js",
    "three/trackball": "three/TrackballControls.js",
    **{f"explore/{name}": f"explore/{name}.js" for name in SCRIPTS},
}
START = 'import "explore/main";'
RELATIVE = "'./three.core.js'"  # how three.js names its other half, which a script that is data cannot find


def live_page() -> tuple[str, str]:
    """The page for a server, and the policy that goes with it as a header."""
    modules = json.dumps({"imports": {name: f"/{STATIC}/{path}" for name, path in MODULES.items()}})
    scripts = f"'self' {digest(modules)} {digest(START)}"
    policy = (
        f"default-src 'none'; script-src {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data: "
        f"blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    style = f'<link rel="stylesheet" href="/{STATIC}/explore/explore.css">'
    return _filled("", style, modules, ""), policy


def export_page(scene: Scene, path: Path, names: bool = False) -> Path:
    """Write the explorer as one HTML file: scripts, thumbnails, facts, and a decoder where there is one.

    names  tell the pictures' file names, which may hold a patient's; without they are numbered
    """
    check_export(path)
    write_whole(path, whole_page(scene, names))
    return path


def check_export(path: Path) -> None:
    """UsageError where the name is not that of a page: asked before anything is computed."""
    if path.suffix.lower() not in (".html", ".htm") or path.is_dir():
        raise UsageError(f"{path}: an exported explorer is one file; let its name end in .html")


def whole_page(scene: Scene, names: bool = False) -> str:
    """The one file as text."""
    told = as_json(scene, live=False, names=names)
    told["atlas"]["urls"] = [_data("image/png", png) for png in scene.atlases.pngs]
    scripts = {name: asset(path).replace(RELATIVE, "'three/core'") for name, path in MODULES.items()}
    modules = json.dumps(
        {"imports": {name: _data("text/javascript", text.encode()) for name, text in scripts.items()}}
    )
    policy = (
        f"default-src 'none'; script-src data: {digest(modules)} {digest(START)}; style-src "
        f"'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    style = f"<style>\n{asset('explore/explore.css')}</style>"
    licence = asset("three/LICENSE.txt").replace("--", "- -")
    data = f'<script type="application/json" id="scene">{_script_safe(told)}</script>'
    return _filled(meta, style, modules, f"{data}\n<!--three.js:\n{licence}-->")


def _filled(policy: str, style: str, modules: str, scene: str) -> str:
    page = asset("explore/index.html")
    parts = {
        "policy": policy,
        "style": style,
        "modules": f'<script type="importmap">{modules}</script>',
        "scene": scene,
    }
    for name, text in parts.items():
        page = page.replace(f"<!--{name}-->", text)
    return page


def _script_safe(told: dict[str, Any]) -> str:
    """JSON that cannot end the script it stands in: a table may hold any text."""
    text = json.dumps(told, allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
