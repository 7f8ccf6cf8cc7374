"""Compose as a program: found, asked, and told what to do. What it prints is masked before anybody sees it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from govma_core.errors import CommandError, PreflightError
from govma_core.process.shell import running
from govma_core.reporting import Reporter
from govma_core.services.env_secrets import NameMask, read_env, set_value
from govma_core.settings import Settings
from govma_core.text.clean import LineSplitter, clean_line
from govma_core.text.language import tr

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_yaml(text: str | bytes) -> Any:  # noqa: ANN401
    """Return what a text holds; yaml.YAMLError or ValueError when it is damaged."""
    return yaml.load(text, Loader=_LOADER)  # noqa: S506 - both are safe loaders


FILES = ("docker-compose.yml", "docker-compose.yaml", "compose.yml", "compose.yaml")
_OVERRIDES = tuple(f"{Path(name).stem}.override{Path(name).suffix}" for name in FILES)


@dataclass(frozen=True, slots=True)
class Project:
    """A compose project that is there. `secrets` are the names and values of `.env` and of the env files."""

    directory: Path
    name: str
    files: tuple[Path, ...]
    secrets: dict[str, set[str]]
    harmless: frozenset[str]
    """Words that may be shown whatever stands in `.env`: the project's name, those of services and networks."""
    inactive: frozenset[str] = frozenset()
    """Services that the compose files have for profiles of which none is active: nobody misses them."""

    @property
    def mask(self) -> NameMask:
        """Return the mask of all that is known to be a secret without asking compose."""
        return NameMask(self.secrets, self.harmless)

    def texts(self) -> str:
        """Return the compose files as they are written: what stands in them is no secret of `.env`."""
        return "\n".join(path.read_text("utf-8", "replace") for path in self.files if path.is_file())


def find_project(settings: Settings) -> Project:
    """Return the project of the settings; PreflightError with the sentence that says what is missing."""
    directory = settings.services_compose_dir
    if directory is None:
        raise PreflightError([tr("services.compose_dir is empty: no compose project is looked after.")])
    if not directory.is_dir():
        raise PreflightError(
            [
                tr(
                    "services.compose_dir ({directory}) is not there. Clone the site's repository to it, "
                    "or set where it is.",
                    directory=directory,
                )
            ]
        )
    try:
        named = [Path(part) for part in set_value(directory / ".env", "COMPOSE_FILE").split(":") if part]
        files = tuple(directory / part for part in named) or _present(directory)
        if not files or not files[0].is_file():
            missing = files[0].name if files else FILES[0]
            raise PreflightError(
                [
                    tr(
                        "There is no compose file ({missing}) in services.compose_dir ({directory}). Put it there.",
                        missing=missing,
                        directory=directory,
                    )
                ]
            )
        raw = list(_raw(files))
        secrets = read_env(directory / ".env")
        for extra in _env_files(raw):
            for name, values in read_env(directory / extra).items():
                secrets.setdefault(name, set()).update(values)
    except OSError as error:
        raise PreflightError(
            [
                tr(
                    "The compose project in {directory} cannot be read: {strerror} ({filename}). Run as root.",
                    directory=directory,
                    strerror=error.strerror,
                    filename=error.filename,
                )
            ]
        ) from None
    name = _name(settings, directory, raw)
    words = {name, *(word for part in raw for key in ("services", "networks", "volumes") for word in _keys(part, key))}
    return Project(directory, name, files, secrets, frozenset(words), frozenset(_inactive(directory, raw)))


def _present(directory: Path) -> tuple[Path, ...]:
    main = next((directory / name for name in FILES if (directory / name).is_file()), None)
    if main is None:
        return ()
    more = next((directory / name for name in _OVERRIDES if (directory / name).is_file()), None)
    return (main, more) if more else (main,)


def _raw(files: tuple[Path, ...]) -> Iterator[dict[str, Any]]:
    """Yield the files as they are, nothing put in for variables; one that is damaged is compose's to complain about."""
    for path in files:
        try:
            data = load_yaml(path.read_bytes())
        except (FileNotFoundError, yaml.YAMLError, ValueError):
            continue
        if isinstance(data, dict):
            yield data


def _keys(data: dict[str, Any], key: str) -> list[str]:
    found = data.get(key)
    return [str(name) for name in found] if isinstance(found, dict) else []


def _env_files(raw: list[dict[str, Any]]) -> Iterator[str]:
    for data in raw:
        services = data.get("services")
        for service in services.values() if isinstance(services, dict) else ():
            named = service.get("env_file") if isinstance(service, dict) else None
            for entry in named if isinstance(named, list) else [named]:
                path = entry.get("path") if isinstance(entry, dict) else entry
                if isinstance(path, str) and "$" not in path:
                    yield path


def _inactive(directory: Path, raw: list[dict[str, Any]]) -> Iterator[str]:
    active = {part.strip() for part in set_value(directory / ".env", "COMPOSE_PROFILES").split(",")}
    profiles: dict[str, set[str]] = {}
    for data in raw:
        services = data.get("services")
        for name, service in services.items() if isinstance(services, dict) else ():
            named = service.get("profiles") if isinstance(service, dict) else None
            profiles.setdefault(str(name), set()).update(map(str, named if isinstance(named, list) else ()))
    for name, wanted in profiles.items():
        if wanted and not wanted & active and "*" not in active:
            yield name


def _name(settings: Settings, directory: Path, raw: list[dict[str, Any]]) -> str:
    """Return the name that compose takes: told, in `.env`, in the file, else the directory's."""
    named = [str(data["name"]) for data in raw if isinstance(data.get("name"), str) and "$" not in data["name"]]
    told = settings.services_project or set_value(directory / ".env", "COMPOSE_PROJECT_NAME")
    name = told or (named[-1] if named else directory.resolve().name)
    return re.sub(r"[^-_a-z0-9]", "", name.lower()) or "default"


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
