"""The compose project of the settings, and compose as a program: it answers questions, and carries out commands.

What it prints is masked before it goes anywhere.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from govma_core.engine.program import ending_with_us
from govma_core.errors import CommandError, PreflightError
from govma_core.masking import Mask
from govma_core.process.shell import running
from govma_core.reporting import Reporter
from govma_core.services.env_secrets import named_mask, read_env, set_value
from govma_core.services.programs import environment, program
from govma_core.settings import Settings
from govma_core.text.clean import clean_line
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
    env_files: tuple[Path, ...] = ()
    """`.env` and the env files that services name, there or not."""
    inactive: frozenset[str] = frozenset()
    """Services of profiles that are not active: they are not reported as missing."""

    @property
    def mask(self) -> Mask:
        """Return the mask of all that is known to be a secret without asking compose."""
        return named_mask(self.secrets, self.harmless)

    def texts(self) -> str:
        """Return the compose files as they are written: what stands in them is no secret of `.env`."""
        return "\n".join(path.read_text("utf-8", "replace") for path in self.files if path.is_file())


def find_project(settings: Settings) -> Project:
    """Return the project of the settings; PreflightError with the sentence that says what is missing."""
    directory = settings.services_compose_dir
    if directory is None:
        raise PreflightError([tr("services.compose_dir is empty: no compose project is looked after.")])
    if not directory.is_dir():
        sentence = tr(
            "services.compose_dir ({directory}) is not there. Clone the site's repository to it, or set where it is.",
            directory=directory,
        )
        raise PreflightError([sentence])
    try:
        return _read_project(settings, directory)
    except OSError as error:
        sentence = tr(
            "The compose project in {directory} cannot be read: {strerror} ({filename}). Run as root.",
            directory=directory,
            strerror=error.strerror,
            filename=error.filename,
        )
        raise PreflightError([sentence]) from None


def _read_project(settings: Settings, directory: Path) -> Project:
    env = read_env(directory / ".env")
    separator = set_value(env, "COMPOSE_PATH_SEPARATOR") or ":"
    names = [part for part in set_value(env, "COMPOSE_FILE").split(separator) if part]
    files = tuple(directory / name for name in names) or _present(directory)
    if not files or not files[0].is_file():
        sentence = tr(
            "There is no compose file ({missing}) in services.compose_dir ({directory}). Put it there.",
            missing=files[0].name if files else FILES[0],
            directory=directory,
        )
        raise PreflightError([sentence])
    documents = list(_documents(files))
    env_files = (directory / ".env", *(directory / path for path in _env_files(documents)))
    secrets: dict[str, set[str]] = {}
    for path in env_files:
        for name, values in read_env(path).items():
            secrets.setdefault(name, set()).update(values)
    name = _name(settings, env, directory, documents)
    tables = (_table(each, key) for each in documents for key in ("services", "networks", "volumes"))
    words = {name, *(word for table in tables for word in table)}
    inactive = frozenset(_inactive(env, documents))
    return Project(directory, name, files, secrets, frozenset(words), env_files, inactive)


def _present(directory: Path) -> tuple[Path, ...]:
    """Return the compose files that compose takes by itself: one, and one that overrides parts of it."""
    choices = (next((directory / name for name in names if (directory / name).is_file()), None)
               for names in (FILES, _OVERRIDES))  # fmt: skip
    main, override = choices
    return tuple(path for path in (main, override) if path) if main else ()


def _documents(files: tuple[Path, ...]) -> Iterator[dict[str, Any]]:
    """Yield the files as they are, nothing put in for variables; one that is damaged is compose's to complain about."""
    for path in files:
        try:
            data = load_yaml(path.read_bytes())
        except (FileNotFoundError, yaml.YAMLError, ValueError):
            continue
        if isinstance(data, dict):
            yield data


def _table(data: dict[str, Any], key: str) -> dict[str, dict[str, Any]]:
    table = data.get(key)
    items = table.items() if isinstance(table, dict) else ()
    return {str(name): value if isinstance(value, dict) else {} for name, value in items}


def _env_files(documents: list[dict[str, Any]]) -> Iterator[str]:
    for service in (service for data in documents for service in _table(data, "services").values()):
        entries = service.get("env_file")
        for entry in entries if isinstance(entries, list) else [entries]:
            path = entry.get("path") if isinstance(entry, dict) else entry
            if isinstance(path, str) and "$" not in path:
                yield path


def _inactive(env: Mapping[str, set[str]], documents: list[dict[str, Any]]) -> Iterator[str]:
    active = {part.strip() for part in set_value(env, "COMPOSE_PROFILES").split(",")}
    profiles: dict[str, set[str]] = {}
    for data in documents:
        for name, service in _table(data, "services").items():
            entries = service.get("profiles")
            profiles.setdefault(name, set()).update(map(str, entries if isinstance(entries, list) else ()))
    for name, of_service in profiles.items():
        if of_service and not of_service & active and "*" not in active:
            yield name


def _name(settings: Settings, env: Mapping[str, set[str]], directory: Path, documents: list[dict[str, Any]]) -> str:
    """Return the name that compose takes: of the settings, in `.env`, in the file, else the directory's."""
    configured = settings.services_project or set_value(env, "COMPOSE_PROJECT_NAME")
    in_files = [data["name"] for data in documents if isinstance(data.get("name"), str) and "$" not in data["name"]]
    name = configured or (in_files[-1] if in_files else directory.resolve().name)
    return re.sub(r"[^-_a-z0-9]", "", name.lower()) or "default"


_UNSET = re.compile(r"\bThe \W*([A-Za-z_]\w*)\W* variable is not set")
"""How both versions of compose say it."""
_NOISE = re.compile(r"`version` is obsolete")
"""Version 2 says it each time, and version 1 wants it."""
_LAST_LINES = 6
_PATIENCE = 60


class Question:
    """A question to compose that it answers in the background; `answer` waits for it."""

    def __init__(self, project: Project, *arguments: str, text: str = "") -> None:
        """Begin to ask; of `text` instead of the project's files."""
        self._project, self._arguments, self._text = project, arguments, text
        self.unset: tuple[str, ...] = ()
        """Variables that compose put nothing in for, known once it has answered."""
        path = program(project.name)
        try:
            self._process = subprocess.Popen(
                [path, "-p", project.name, *(("-f", "-") if text else ()), *arguments],
                cwd=project.directory,
                env=environment(),
                stdin=subprocess.PIPE if text else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise CommandError("{path} does not start: {strerror}.", path=path, strerror=error.strerror) from None

    def answer(self, mask: Mask) -> str:
        """Return what it printed; CommandError with its words, masked, when it failed or takes more than a minute."""
        directory = self._project.directory
        what = tr("compose {arguments} in {directory}", arguments=self._arguments[0], directory=directory)
        try:
            out, err = self._process.communicate(self._text.encode() or None, timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            raise CommandError(
                "{shown} did not end within {patience} s. Does Docker answer?", shown=what, patience=_PATIENCE
            ) from None
        finally:
            self.give_up()
        if self._process.returncode:
            raise CommandError("{shown} failed: {words}", shown=what, words=_words(err, mask))
        self.unset = tuple(dict.fromkeys(_UNSET.findall(err.decode("utf-8", "replace"))))
        return out.decode("utf-8", "surrogateescape")

    def give_up(self) -> None:
        """End it; the answer is not needed any more."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()


def require_all_set(question: Question) -> None:
    """Raise PreflightError when compose, in its answer, put nothing in for a variable."""
    if question.unset:
        sentence = tr(
            "The compose file uses {names}, which .env does not set: they would be empty. Set them in .env "
            "(`{first}=` if empty is intended).",
            names=", ".join(question.unset),
            first=question.unset[0],
        )
        raise PreflightError([sentence])


def execute(project: Project, arguments: Sequence[str], reporter: Reporter, timeout: float) -> None:
    """Run compose; what it prints goes to the reporter, which masks it. CommandError when it fails or takes too long.

    A request to cancel ends it at once; nothing that it started is left then.
    """
    words = [program(project.name), "-p", project.name, *arguments]
    # Where this process is killed, compose ends with it: whoever puts things right then is not in its way.
    line = ending_with_us(words)
    command = f"compose {arguments[0]}"
    try:
        with running(line, project.directory, environment(), {}, reporter.cancellation) as process:
            last = process.pass_on(reporter, timeout, noise=_NOISE)
    except TimeoutError:
        raise CommandError(
            "{shown} did not end within {timeout:g} s. Look at the log above.", shown=command, timeout=timeout
        ) from None
    if process.code:
        last_words = reporter.mask(last) or tr("it said nothing")
        raise CommandError(
            "{shown} failed with exit code {code}: {strip}", shown=command, code=process.code, strip=last_words
        )


def _words(err: bytes, mask: Mask) -> str:
    lines = [clean_line(line.strip()) for line in err.decode("utf-8", "replace").splitlines()]
    return mask(" ".join([line for line in lines if line and not _NOISE.search(line)][-_LAST_LINES:]))[:800] or tr(
        "it said nothing."
    )
