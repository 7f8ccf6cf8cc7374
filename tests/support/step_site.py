"""The sample site with three steps of a build that each read something else, and what a deploy made of them."""

from __future__ import annotations

import subprocess
from typing import Any

from govma_core.versions.manifest import ManifestStore
from tests.support.sites import Site

STYLES = "cat resources/css/*.css > data/html/site.css"
SCRIPTS = "sh tools/scripts.sh"
DOCS = "mkdir -p data/html/manual; for page in docs/*.md; do cp $page data/html/manual; done"
FILES = {
    "resources/css/a.css": "a{}",
    "resources/css/b.css": "b{}",
    "resources/js/a.js": "a()",
    "docs/one.md": "One",
    "tools/scripts.sh": "cat resources/js/*.js > data/html/site.js\n",
}


def with_steps(site: Site) -> Site:
    """Give the site its steps, and deploy it once."""
    site.sample.commit(FILES, "Passos")
    site.flags |= {
        "asset_inputs": "auto",
        "install_command": "mkdir -p node_modules; cat package.json > node_modules/.package-lock.json",
        "build_steps": [step("styles", STYLES), step("scripts", SCRIPTS), step("docs", DOCS)],
    }
    site.deploy()
    return site


def step(name: str, command: str, **more: Any) -> dict[str, Any]:
    """Return a step as the settings have it."""
    return {"name": name, "command": command, **more}


def built(site: Site, **arguments: Any) -> list[str]:
    """Deploy; return the steps that ran."""
    version = site.deploy(**arguments).version
    manifest = ManifestStore(site.settings.state_dir).read(version)
    assert manifest is not None
    return [origin.name for origin in manifest.steps if not origin.run]


def published(site: Site) -> dict[str, str]:
    """Return mode and content of the files of the live version, by path."""
    files = [path for path in (site.current / "html").rglob("*") if path.is_file() and "themes" not in path.parts]
    return {str(path.relative_to(site.current)): f"{path.stat().st_mode:o} {path.read_bytes()!r}" for path in files}


def commit_link(site: Site, path: str, target: str) -> None:
    """Commit a link."""
    (site.sample.developer / path).symlink_to(target)
    subprocess.run(["git", "-C", site.sample.developer, "add", path], check=True)
    site.sample.commit({"data/html/x": path}, "Um link")
