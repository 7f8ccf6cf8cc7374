"""A small site that is edited at random, its build, and whether what is reused is what the build would make.

The build does what real ones do: it globs, walks, resolves names in folders and by extensions, imports, looks whether a
file is there, follows links.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from govma_core.building.builder import make_builder
from govma_core.context import Context
from govma_core.deploy.asset_stage import make_assets
from govma_core.events import Event
from govma_core.fs import safefs
from govma_core.reporting import Reporter
from govma_core.settings import Settings
from govma_core.settings.build_steps import BuildStep

PROGRAM = r"""
import glob, os, sys

def put(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)

def read(path):
    with open(path) as file:
        return file.read()

def resolve(name, folders):
    for folder in folders:
        for path in (f"{folder}/{name}", f"{folder}/{name}.js", f"{folder}/{name}.json", f"{folder}/{name}/index.js"):
            if os.path.isfile(path):
                return path
    return ""

def bundle(path, seen):
    if path in seen:
        return ""
    seen.add(path)
    text = ""
    for line in read(path).splitlines():
        if line.startswith("import "):
            found = resolve(line[7:], [os.path.dirname(path), "src/lib", "src/vendor"])
            text += bundle(found, seen) if found else f"missing {line[7:]}\n"
        else:
            text += line + "\n"
    return text

def pages():
    names = sorted(glob.glob("docs/**/*.md", recursive=True))
    put("data/html/pages.txt", "".join(f"{name}:{read(name)}" for name in names))

def styles():
    text = "" if not os.path.exists(".stylerc") else read(".stylerc")
    for folder, folders, names in os.walk("styles", followlinks=True):
        folders.sort()
        for name in sorted(names):
            if name.endswith(".css") and os.path.isfile(f"{folder}/{name}"):
                text += f"{folder}/{name} {os.stat(f'{folder}/{name}').st_mode & 0o111:o}\n" + read(f"{folder}/{name}")
    put("data/html/site.css", text)

def scripts():
    text = bundle("src/main.js", set()) if os.path.isfile("src/main.js") else "none\n"
    text += "local\n" if os.path.exists("config/local.json") else ""
    for name in sorted(os.listdir("data/system/user/templates")) if os.path.isdir("data/system/user/templates") else []:
        if name.endswith(".tag"):
            text += read(f"data/system/user/templates/{name}")
    put("data/html/site.js", text)

def sizes():
    names = sorted(os.listdir("data/html"))
    put("data/html/sizes/list.txt", " ".join(name for name in names if name != "sizes"))
    put("data/html/sizes/pages.txt", str(len(read("data/html/pages.txt"))))

globals()[sys.argv[1]]()
"""
_PYTHON = "/usr/bin/python3"
"""The build's user cannot run that of a virtual environment in root's home."""
NAMES = ("pages", "styles", "scripts", "sizes")
_FIRST = ("docs", "docs/deep", "styles", "styles/parts", "src", "src/lib", "src/vendor", "src/lib/tool", "config")
_LATER = ("data/system/user/templates", "data/html", "other", "docs/new", "styles/new/deeper", "src/lib/extra")
_FILES = ("a", "b", "c", "tool", "index", "main", "local")
_ENDS = (".md", ".css", ".js", ".json", ".tag", ".html", "")


@dataclass
class StaleSite:
    """The site below a folder, edited by `edit()` and built by `build()`."""

    root: Path
    random: random.Random
    cache: bool = True
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.source, self.work = self.root / "source", self.root / "work"
        for folder in ("data/html", "data/system/user/templates", *_FIRST):
            (self.source / folder).mkdir(parents=True, exist_ok=True)
        (self.source / "build.py").write_text(PROGRAM)
        (self.source / "package.json").write_text("{}")
        (self.source / "src/main.js").write_text("import a\nimport tool\nimport b\nmain\n")
        for _ in range(40):
            self._write(self._path())
        (self.root / "state").mkdir()

    @property
    def settings(self) -> Settings:
        steps = [
            BuildStep(name=name, command=f"{_PYTHON} build.py {name}", after=None if name == "sizes" else ())
            for name in NAMES
        ]
        changes: dict[str, Any] = {"asset_inputs": ("auto",)} if self.cache else {}
        return Settings(
            work_dir=self.work,
            state_dir=self.root / "state",
            versions_dir=self.root,
            node_modules_dir=self.root / "modules",
            builder="local",
            install_command="",
            build_steps=tuple(steps),
            build_uid=os.geteuid() or 1000,
            **changes,
        )

    def edit(self) -> str:
        """Change something at random; return what, in words."""
        files = sorted(path for path in self.source.rglob("*") if not path.is_dir() or path.is_symlink())
        files = [path for path in files if path.name != "build.py"]
        kind = self.random.choice(
            ["change", "change", "add", "add", "beside", "delete", "rename", "mode", "link", "folder"]
        )
        path = self.random.choice(files)
        if kind == "change" and path.is_file():
            path.write_text(self._text())
        elif kind == "beside":
            path = path.with_name(self.random.choice(_FILES) + self.random.choice(_ENDS))
            self._write(path)
        elif kind == "delete" and path.name != "package.json":
            path.unlink()
        elif kind == "rename" and path.name != "package.json":
            path.rename(self._free())
        elif kind == "mode" and path.is_file():
            path.chmod(path.stat().st_mode ^ 0o111)
        elif kind == "link":
            path = self._free()
            path.symlink_to(os.path.relpath(self.random.choice(files), path.parent))
        elif kind == "folder":
            path = self._free().parent / f"folder{self.random.randrange(9)}"
            path.mkdir(exist_ok=True)
            self._write(path / "a.css")
        else:
            self._write(path := self._path())
        return f"{kind} {path.relative_to(self.source)}"

    def build(self) -> tuple[dict[str, str], list[str]]:
        """Make the assets as a deploy does; return what is below data/html, and the steps that ran."""
        self._fill(self.work)
        self.events.clear()
        context = Context(self.settings, Reporter(self.events.append), "run", "", "", 0.0)
        with safefs.opened_root(self.work) as work_fd:
            assets = make_assets(context, make_builder(self.settings), work_fd, rebuild=False)
        return contents(self.work), [step.name for step in assets.steps if not step.run]

    def build_afresh(self) -> dict[str, str]:
        """Run the program itself, on a copy."""
        fresh = self.root / "fresh"
        self._fill(fresh)
        for name in NAMES:
            subprocess.run([_PYTHON, "build.py", name], cwd=fresh, check=True)
        return contents(fresh)

    def _fill(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.source, folder, symlinks=True)
        if os.geteuid() == 0:
            for at, folders, files in os.walk(folder):
                for name in (*folders, *files):
                    os.chown(os.path.join(at, name), 1000, 1000, follow_symlinks=False)

    def _path(self) -> Path:
        folder = self.random.choice(_FIRST + _LATER)
        return self.source / folder / (self.random.choice(_FILES) + self.random.choice(_ENDS))

    def _free(self) -> Path:
        while os.path.lexists(path := self._path()):
            pass
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink() or not path.is_dir():
            path.unlink(missing_ok=True)
            path.write_text(self._text())

    def _text(self) -> str:
        lines = [f"import {self.random.choice(_FILES)}" for _ in range(self.random.randrange(3))]
        return "\n".join([*lines, f"text {self.random.randrange(1000)}", ""])


def contents(folder: Path) -> dict[str, str]:
    """Return what is below data/html: content, mode, links, folders."""
    html = folder / "data/html"
    return {
        str(path.relative_to(html)): os.readlink(path)
        if path.is_symlink()
        else f"{path.stat().st_mode:o} {path.read_text() if path.is_file() else ''}"
        for path in html.rglob("*")
    }
