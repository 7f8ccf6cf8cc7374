"""Compose as a program: found, asked, and told what to do. What it prints is masked before anybody sees it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from govma_core.errors import CommandError, PreflightError
from govma_core.language import tr
from govma_core.reporting import Reporter
from govma_core.services.mask import NameMask
from govma_core.services.project import Project
from govma_core.shell.running import running
from govma_core.text import LineSplitter, clean_line

_PLUGIN_DIRS = (
    "/usr/local/lib/docker/cli-plugins", "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins", "/usr/libexec/docker/cli-plugins",
)  # fmt: skip
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "SSH_AUTH_SOCK")
_KEPT_BEGINNINGS = ("DOCKER_", "BUILDKIT_", "HTTP_", "HTTPS_", "NO_PROXY", "http_", "https_", "no_proxy")
_UNSET = re.compile(r"\bThe \W*([A-Za-z_]\w*)\W* variable is not set")
"""How both versions of compose say it."""
_SHOWN = 6
_PATIENCE = 60


def program() -> tuple[str, ...]:
    """Return the command line that compose begins with: `docker-compose`, else `docker compose`; () without one."""
    if shutil.which("docker-compose"):
        return ("docker-compose",)
    home = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    plugins = (home / "cli-plugins", *map(Path, _PLUGIN_DIRS))
    if shutil.which("docker") and any(os.access(place / "docker-compose", os.X_OK) for place in plugins):
        return ("docker", "compose")
    return ()


def is_second(found: tuple[str, ...]) -> bool:
    """Tell whether this is version 2, which is no script."""
    path = shutil.which(found[0])
    if len(found) > 1 or path is None:
        return True
    with open(path, "rb") as file:
        return file.read(2) != b"#!"


def require_program() -> tuple[str, ...]:
    """Return the command line that compose begins with; PreflightError without one."""
    found = program()
    if not found:
        raise PreflightError(
            [
                tr(
                    "There is neither docker-compose nor docker compose on this machine. Install one "
                    "(Debian: apt-get install docker-compose)."
                )
            ]
        )
    return found


class Question:
    """Compose, asked something in the background; `answer` waits for it."""

    def __init__(self, project: Project, *arguments: str) -> None:
        self._project = project
        self._arguments = arguments
        self.unset: tuple[str, ...] = ()
        """Variables that compose put nothing in for, known once it has answered."""
        self._process = subprocess.Popen(
            [*require_program(), *_project(project), *arguments],
            cwd=project.directory,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def answer(self, mask: NameMask) -> str:
        """Return what it printed; CommandError with its words, masked, when it failed or takes more than a minute."""
        shown = tr(
            "compose {arguments} in {directory}", arguments=self._arguments[0], directory=self._project.directory
        )
        try:
            out, err = self._process.communicate(timeout=_PATIENCE)
        except BaseException as error:
            self.give_up()
            if isinstance(error, subprocess.TimeoutExpired):
                raise CommandError(
                    tr("{shown} did not end within {patience} s. Does Docker answer?", shown=shown, patience=_PATIENCE)
                ) from None
            raise
        if self._process.returncode:
            raise CommandError(tr("{shown} failed: {words}", shown=shown, words=_words(err, mask)))
        self.unset = tuple(dict.fromkeys(_UNSET.findall(err.decode("utf-8", "replace"))))
        return out.decode("utf-8", "surrogateescape")

    def give_up(self) -> None:
        """End it; nobody wants the answer."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()


def hashes_in(answer: str) -> dict[str, str]:
    """Read what `config --hash` printed: by service the hash of its settings, which its containers have in a label."""
    return dict(line.split()[:2] for line in answer.splitlines() if len(line.split()) >= 2)


def require_all_set(question: Question) -> None:
    """Raise PreflightError when compose, in its answer, put nothing in for a variable."""
    if question.unset:
        names = question.unset
        raise PreflightError(
            [
                tr(
                    "The compose file uses {names}, which .env does not set: they would be empty. Set them in .env "
                    "(`{first}=` if empty is intended).",
                    names=", ".join(names),
                    first=names[0],
                )
            ]
        )


def execute(project: Project, arguments: Sequence[str], reporter: Reporter, timeout: float) -> None:
    """Run compose; what it prints goes to the reporter, which masks it. CommandError when it fails or takes too long.

    A request to cancel ends it at once; nothing that it started is left then.
    """
    line = [*require_program(), *_project(project), *arguments]
    shown = f"compose {arguments[0]}"
    splitter, last = LineSplitter(), ""
    until = time.monotonic() + timeout
    with running(shlex.join(line), project.directory, environment(), {}, reporter.cancellation) as process:
        while (chunk := process.receive()) != b"":
            if time.monotonic() > until:
                raise CommandError(
                    tr("{shown} did not end within {timeout:g} s. Look at the log above.", shown=shown, timeout=timeout)
                )
            if chunk is None:
                reporter.flush()
                continue
            lines = splitter.feed(chunk)
            if lines:
                last = next((found for found in reversed(lines) if found.strip()), last)
                reporter.output(*lines)
        rest = list(splitter.close())
        reporter.output(*rest)
        last = next((found for found in reversed(rest) if found.strip()), last)
        code = process.code
    if code:
        raise CommandError(
            tr(
                "{shown} failed with exit code {code}: {strip}",
                shown=shown,
                code=code,
                strip=reporter.mask(last.strip()) or tr("it said nothing"),
            )
        )


def environment() -> dict[str, str]:
    """Return compose's environment: nothing of the caller's shell may win over `.env`, whoever asks."""
    kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith(_KEPT_BEGINNINGS)}
    return {"PATH": os.defpath, "LANG": "C.UTF-8"} | kept | {"TERM": "dumb", "COMPOSE_ANSI": "never"}


def _project(project: Project) -> list[str]:
    return ["-p", project.name]


def _words(err: bytes, mask: NameMask) -> str:
    lines = [clean_line(line.strip()) for line in err.decode("utf-8", "replace").splitlines()]
    kept = [line for line in lines if line][-_SHOWN:]
    return mask(" ".join(kept))[:800] or tr("it said nothing.")
