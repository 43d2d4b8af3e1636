"""The viewer's page: a skeleton whose scripts and styles come from this machine's server alone."""

from __future__ import annotations

import json

from glasslung.web.assets import STATIC, asset, digest

SCRIPTS = (
    *("main", "panes", "pane", "solid", "links", "layers", "windows"),
    *("chart", "table", "edit", "brush", "keys"),
)
MODULES = {
    "niivue": "niivue/niivue.js",
    **{f"view/{name}": f"view/{name}.js" for name in SCRIPTS},
}
START = 'import "view/main";'


def viewer_page(token: str) -> tuple[str, str]:
    """The page, and the policy that goes with it as a header. `token` lets this page, and no other, save."""
    modules = json.dumps({"imports": {name: f"/{STATIC}/{path}" for name, path in MODULES.items()}})
    policy = (
        f"default-src 'none'; script-src 'self' {digest(modules)} {digest(START)}; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self' data: blob:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    parts = {
        "style": f'<link rel="stylesheet" href="/{STATIC}/view/view.css">',
        "modules": f'<script type="importmap">{modules}</script>',
        "token": f'<meta name="save-token" content="{token}">',
    }
    page = asset("view/index.html")
    for name, text in parts.items():
        page = page.replace(f"<!--{name}-->", text)
    return page, policy
