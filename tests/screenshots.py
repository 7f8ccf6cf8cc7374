"""Pictures of the running app for the README: `make screenshots` writes them to screenshots/, as SVG and PNG.

The site is the sample with a past, deployed by the real pipeline; the runs in the pictures are really executed.
PNG needs rsvg-convert (Debian: librsvg2-bin) and DejaVu Sans Mono.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from govma_console.tui.app import ConsoleApp
from govma_console.tui.background import Background
from govma_core.settings import Settings
from tests.support.console import Driven
from tests.support.histories import with_past
from tests.support.sites import make_site
from tests.support.step_site import step

FOLDER = Path(__file__).parents[1] / "screenshots"
WIDE, NARROW = (132, 36), (80, 24)


async def picture(settings: Settings, name: str, size: tuple[int, int], steps: list[str], theme: str) -> None:
    """Write one picture: a step that begins with `=` is a text to wait for, all others are keys."""
    app = ConsoleApp(Background(settings), theme=theme)
    async with app.run_test(size=size) as pilot:
        driven = Driven(app, pilot)
        await driven.until(lambda: driven.main.background.use and driven.main.background.use.real, "the account")
        for step in steps:
            if step.startswith("="):
                await driven.sees(step[1:])
            else:
                await driven.press(step)
        app.clear_notifications()
        await pilot.pause()
        svg = app.export_screenshot(title="govma-console")
        if name == "deploying":
            await asyncio.to_thread((settings.state_dir.parent / "go").touch)
            await driven.sees("deploy ok")
    write(name, svg)


def write(name: str, svg: str) -> None:
    """Write a picture in both forms."""
    svg = re.sub(r"terminal-\d+", f"{name}", svg)
    (FOLDER / f"{name}.svg").write_text(svg)
    if shutil.which("rsvg-convert") is None:
        print(f"{name}.svg; no PNG: rsvg-convert is missing (apt-get install librsvg2-bin)", file=sys.stderr)
        return
    # Drawn with a font that is there, as wide as the one that textual counts with, and with its blanks.
    plain = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL).replace("Fira Code", "DejaVu Sans Mono")
    plain = plain.replace("font-size: 20px", "font-size: 20.25px").replace("<svg ", '<svg xml:space="preserve" ', 1)
    png = FOLDER / f"{name}.png"
    subprocess.run(["rsvg-convert", "-o", str(png), "/dev/stdin"], input=plain, text=True, check=True)
    print(f"{name}.svg, {name}.png", file=sys.stderr)


async def take_all(folder: Path) -> None:
    """Make all pictures."""
    site = with_past(make_site(folder / "site", files=300), 9, days=20)
    site.sample.commit({"data/html/calendario.txt": "2027"}, "Publica o calendário escolar")
    site.sample.commit({"data/html/escolas.txt": "1"}, "Mapa das escolas com busca por bairro")
    settings = site.settings
    await picture(settings, "main", WIDE, ["down", "down", "=Going back to it would undo"], "govma-dark")
    await picture(settings, "narrow", NARROW, ["down", "=1"], "govma-light")
    await picture(settings, "rollback", WIDE, ["down", "down", "r", "=Undoes 2 commits"], "govma-dark")
    site.flags |= {
        "install_command": "sh tools/build.sh install",
        "build_steps": [step("docs", "sh tools/build.sh docs"), step("prod", hold(settings))],
    }
    steps = ["d", "=Brings 2 commits", "tab", "enter", "=compiling 24 of 60"]
    await picture(site.settings, "deploying", WIDE, steps, "govma-dark")
    await picture(
        settings,
        "dedupe",
        WIDE,
        ["u", "=Would free", "tab", "enter", "=dedupe ok", "=links save 2", "3"],
        "govma-dark",
    )


def hold(settings: Settings) -> str:
    """Return a command that prints as a build does, and waits until it is let go."""
    printing = 'for n in $(seq 1 24); do echo "compiling $n of 60: resources/css/page-$n.css"; sleep 0.08; done'
    go, state = settings.state_dir.parent / "go", settings.state_dir
    return f"{printing}; until [ -e {go} ] || [ ! -d {state} ]; do sleep 0.05; done"


if __name__ == "__main__":
    os.umask(0o022)
    for variable in ("NO_COLOR", "SSH_CONNECTION"):
        os.environ.pop(variable, None)
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="govma-") as made:
        os.chmod(made, 0o755)
        asyncio.run(take_all(Path(made)))
