"""Twenty commits in a row, deployed by us and by a bash script that does what deploy.sh does: real Docker and Node.

The site has the shape of the real one: two steps of some seconds that both read the style sheets, one of which reads
the documents, too, and the other the scripts. The commits have its shares: half of them touch nothing that assets are
made from. The two take turns, so that both meet the same machine.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from contextlib import ExitStack
from pathlib import Path

from tests.benchmarks.bash_deploy import deploy_by_script
from tests.benchmarks.file_work import enlarge
from tests.benchmarks.harness import Row, console, run
from tests.support.engine import engine_for_tests
from tests.support.node_image import node_image
from tests.support.sample import SUBSITES, SampleSite, create_sample

_THEMES = 12
_PACKAGE = {
    "name": "benchmark-site",
    "private": True,
    "scripts": {"build:docs": "node tools/docs.mjs", "prod": "node tools/prod.mjs"},
    "devDependencies": {"bootstrap": "5.3.3", "esbuild": "0.21.5", "marked": "12.0.2", "sass": "1.77.8"},
}
_STYLES = """\
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import * as sass from "sass";
export function compile(folder, style) {
  mkdirSync(folder, { recursive: true });
  for (const name of readdirSync("resources/stylesheets/themes")) {
    const loadPaths = ["node_modules", "resources/stylesheets"];
    const options = { loadPaths, style, quietDeps: true, logger: sass.Logger.silent };
    const css = sass.compile(`resources/stylesheets/themes/${name}`, options).css;
    writeFileSync(`${folder}/${name.replace("scss", "css")}`, css);
  }
}
"""
_DOCS = """\
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { marked } from "marked";
import { compile } from "./styles.mjs";
const title = existsSync(".sassdocrc") ? readFileSync(".sassdocrc", "utf8") : "";
compile("data/html/docs/css", "expanded");
for (const name of readdirSync("docs/extraDocs"))
  writeFileSync(`data/html/docs/${name}.html`, title + marked.parse(readFileSync(`docs/extraDocs/${name}`, "utf8")));
console.log("documented");
"""
_PROD = """\
import { readdirSync } from "node:fs";
import * as esbuild from "esbuild";
import { compile } from "./styles.mjs";
compile("data/html/assets/css", "compressed");
const scripts = readdirSync("resources/scripts").filter((name) => name.endsWith(".js"));
const entryPoints = scripts.map((name) => `resources/scripts/${name}`);
await esbuild.build({ entryPoints, bundle: true, minify: true, outdir: "data/html/assets/js", logLevel: "error" });
console.log("compiled");
"""
# Of the real site's commits 52 % touch no asset, 40 % style sheets, 9 % scripts alone, 3 % documents alone.
_ORDER = "NSNNSNJNSNSNDNSNJNSS"
_KINDS = [{"N": "none", "S": "styles", "J": "scripts", "D": "docs"}[letter] for letter in _ORDER]
_FILES = {
    "none": "data/system/user/templates/default_site/site.group/index.html",
    "styles": "resources/stylesheets/_colours.scss",
    "scripts": "resources/scripts/menu.js",
    "docs": "docs/extraDocs/colours.md",
}
_STEPS = """
[[build.steps]]
name = "docs"
command = "npm run build:docs"
after = []

[[build.steps]]
name = "prod"
command = "npm run prod"
after = []
"""

_BUILD = r"""
docker build --quiet docker/builder -t govma-benchmark-builder
docker run --rm --user 1000:1000 -v "$WORK:/src" -v "$MODULES:/src/node_modules" -w /src -e HOME=/tmp \
    govma-benchmark-builder sh -c 'npm install && npm run build:docs && npm run prod'
"""


def measure(folder: Path) -> list[Row]:
    """Return the ratios of twenty commits, and of each kind of them."""
    with ExitStack() as stack:
        engine = stack.enter_context(engine_for_tests())
        # A private engine is found by the commands we start, too.
        os.environ["DOCKER_HOST"] = engine.host
        image = stack.enter_context(node_image(engine))
        sites = {name: _site(folder / name, image) for name in ("alone", "steps", "script")}
        text = sites["steps"].config_file.read_text()
        sites["steps"].config_file.write_text(text + _STEPS)
        seconds: dict[str, list[float]] = {name: [] for name in sites}
        # The first deploy of each fills node_modules, the second is the first that finds a version of its own.
        for number, kind in enumerate(["none", "none", *_KINDS]):
            for name, site in sites.items():
                seconds[name].append(_deploy(name, site, kind, number))
        _compare_results(sites)
        watched = _watched(sites["alone"])
    taken = {name: each[2:] for name, each in seconds.items()}
    return [
        _row("twenty commits, sum, `auto` and nothing else set", sum(taken["alone"]), sum(taken["script"]), 0.30),
        _row("twenty commits, sum, the two steps side by side", sum(taken["steps"]), sum(taken["script"]), 0.30),
        *(
            _row(f"a commit that touches {what}, median{how}", *_medians(taken, name, kind), goal)
            for kind, what, name, how, goal in (
                ("none", "no asset", "alone", "", 0.08),
                ("scripts", "scripts alone", "alone", "", 0.5),
                ("styles", "style sheets", "alone", "", 0.6),
                ("styles", "style sheets", "steps", ", side by side", 0.6),
            )
        ),
        Row(
            "build that is watched ÷ not, medians of 3",
            f"{watched[0]:.1f} s",
            f"{watched[1]:.1f} s",
            watched[0] / watched[1],
            1.05,
        ),
    ]


def _watched(site: SampleSite) -> tuple[float, float]:
    """Return the seconds of a whole build with what it opens watched, and without."""
    settings = site.config_file.read_text()
    seconds: dict[str, list[float]] = {'asset_inputs = "auto"': [], "asset_inputs = []": []}
    for _ in range(3):
        for setting, taken in seconds.items():
            site.config_file.write_text(settings.replace('asset_inputs = "auto"', setting))
            began = time.perf_counter()
            run(console(site.config_file, "deploy", "--rebuild"))
            taken.append(time.perf_counter() - began)
    watched, alone = (statistics.median(each) for each in seconds.values())
    return watched, alone


def _site(folder: Path, image: str) -> SampleSite:
    site = create_sample(folder, builder="docker", base_image=image, npm=True, files=2000, vendor_files=3200)
    enlarge(site)
    files: dict[str, str | bytes | None] = {
        "package.json": json.dumps(_PACKAGE, indent=2),
        "package-lock.json": None,
        "tools/styles.mjs": _STYLES,
        "tools/docs.mjs": _DOCS,
        "tools/prod.mjs": _PROD,
        ".sassdocrc": "theme: none\n",
        "resources/stylesheets/_colours.scss": "$base: 10;\n",
        "resources/scripts/lib/tools.js": "export const open = (name) => document.body.classList.toggle(name);\n",
    }
    for number, subsite in enumerate(SUBSITES[:_THEMES]):
        theme = (
            f"@import 'colours';\n$primary: hsl({number * 5} + $base, 60%, 40%);\n@import 'bootstrap/scss/bootstrap';\n"
        )
        files[f"resources/stylesheets/themes/{subsite}.scss"] = theme
    site.commit(files, "Temas com Bootstrap")
    for kind in _FILES:
        site.commit(_change(kind, 0), "Começo")
    text = site.config_file.read_text()
    lines = ['asset_inputs = "auto"' if line.startswith("asset_inputs") else line for line in text.splitlines()]
    site.config_file.write_text("\n".join(lines) + "\n")
    return site


def _change(kind: str, number: int) -> dict[str, str | bytes | None]:
    text = {
        "none": f"<h1>{number}</h1>\n",
        "styles": f"$base: {number};\n",
        "scripts": f'import {{ open }} from "./lib/tools.js";\nopen("menu-{number}");\n',
        "docs": f"# Colours\n\n{number}\n",
    }[kind]
    return {_FILES[kind]: text}


def _deploy(name: str, site: SampleSite, kind: str, number: int) -> float:
    """Deploy a commit of a kind; return the seconds until it is live and on the disk."""
    site.commit(_change(kind, number + 1), f"Mudança {number}: {kind}")
    os.sync()
    time.sleep(1)
    began = time.perf_counter()
    if name == "script":
        modules = site.root / "script-modules"
        modules.mkdir(exist_ok=True)
        os.chown(modules, 1000, 1000)
        deploy_by_script(site, number, _BUILD, MODULES=modules)
    else:
        run(console(site.config_file, "deploy"))
    return time.perf_counter() - began


def _compare_results(sites: dict[str, SampleSite]) -> None:
    """Make certain that all came to the same: what is measured is worth nothing otherwise."""
    made = {}
    for name, site in sites.items():
        root = site.versions_dir / "current-version/html"
        paths = [path for part in ("docs", "assets/css", "assets/js") for path in (root / part).rglob("*")]
        made[name] = {str(path.relative_to(root)): path.read_bytes() for path in paths if path.is_file()}
    if not made["alone"] or made["alone"] != made["script"] or made["steps"] != made["script"]:
        raise RuntimeError("the published assets are not those that the script made")


def _medians(taken: dict[str, list[float]], name: str, kind: str) -> tuple[float, float]:
    ours, script = (
        statistics.median(seconds for seconds, each in zip(taken[who], _KINDS, strict=True) if each == kind)
        for who in (name, "script")
    )
    return ours, script


def _row(what: str, ours: float, script: float, goal: float) -> Row:
    return Row(f"{what} ÷ script", f"{ours:.1f} s", f"{script:.1f} s", ours / script, goal)
