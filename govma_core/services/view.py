"""The view of the containers: what is there, what is wanted, what differs, and what it takes. Changes nothing."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from govma_core.context import Context
from govma_core.errors import GovmaError, PreflightError
from govma_core.services.compose import (
    Project,
    Question,
    find_project,
    hashes_in,
    is_second,
    require_all_set,
    require_program,
)
from govma_core.services.compose_config import Mount, Wanted, WantedProject, read_config, read_data
from govma_core.services.drift import Difference, differences, real, short
from govma_core.services.env_secrets import NameMask
from govma_core.services.inspect import whole_mask
from govma_core.services.quick import read_quickly
from govma_core.services.replace_container import read_journal
from govma_core.services.storage import Store, mounted, stores
from govma_core.settings import Settings
from govma_core.text.clean import clean_all
from govma_core.text.language import tr

if TYPE_CHECKING:
    from govma_core.services.inspect import Container, Seen


_QUICK = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """All that was found. `hashes` are compose's own of each service's settings, {} when it was not asked for them."""

    project: Project
    mask: NameMask
    wanted: WantedProject | None
    hashes: Mapping[str, str]
    seen: Seen
    engine_answers: bool
    output: Mapping[str, list[str]]
    differences: list[Difference]


class _Compose:
    """Compose, asked for its settings and their hashes where the files are not plain enough to be read without it."""

    def __init__(self, project: Project, problems: list[str]) -> None:
        self._project, self._problems = project, problems
        self.wanted: WantedProject | None = None
        self.hashes: Mapping[str, str] = {}
        self._config: Question | None = None
        self._hash: Question | None = None
        with telling(problems):
            program = require_program()
            self.wanted = _quickly(project, second=is_second(program))
            if self.wanted is None:
                self._config = Question(project, "config")
                # Version 2 tells another hash than its containers have where there is an env file.
                if not (is_second(program) and "env_file" in project.texts()):
                    self._hash = Question(project, "config", "--hash=*")

    def answer(self) -> None:
        """Wait for what was asked."""
        if self._config is not None:
            with telling(self._problems):
                self.wanted = read_config(self._project, self._config.answer(self._project.mask))
            with telling(self._problems):
                require_all_set(self._config)
        if self._hash is not None:
            # It needs the engine, and the images: what is wrong with these is told elsewhere.
            with telling([]):
                self.hashes = hashes_in(self._hash.answer(self._project.mask))

    def give_up(self) -> None:
        """End what is not wanted any more."""
        for question in (self._config, self._hash):
            if question is not None:
                question.give_up()


def find(context: Context, project: Project, problems: list[str], lines: int) -> Found:
    """Look at everything; what cannot be looked at becomes one of the problems."""
    # Asked first: it takes longer than all the rest, which is found out meanwhile.
    compose = _Compose(project, problems)
    # Imported while compose is at work: Docker's library and git's take as long as all of our own.
    from govma_core.engine.client import connected
    from govma_core.services.inspect import Seen, look
    from govma_core.services.logs import last_lines
    from govma_core.services.source_drift import gather, source_differences

    seen, sources = Seen((), {}, {}, ()), None
    output: dict[str, list[str]] = {}
    engine_answers = False
    try:
        with telling(problems), connected(_QUICK, otherwise="") as client:
            seen = look(client, project.name)
            engine_answers = True
            with telling(problems):
                sources = gather(context.settings)
            compose.answer()
            mask = whole_mask(project, compose.wanted, seen)
            for container in seen.containers if lines else ():
                output[container.id] = last_lines(client, container.id, lines, mask)
        if not engine_answers:
            with telling(problems):
                sources = gather(context.settings)
            compose.answer()
        mask = whole_mask(project, compose.wanted, seen)
    finally:
        compose.give_up()
    if read_journal(context.settings.state_dir) is not None:
        problems.append(
            tr(
                "A restart of containers is in progress, or was interrupted: the next `govma-console services "
                "up` first cleans up after an interrupted one."
            )
        )
    wanted = compose.wanted
    found: list[Difference] = []
    if wanted is not None and engine_answers:
        found = differences(wanted, seen, context.settings, inactive=project.inactive, hashes=compose.hashes)
    with telling(problems):
        found += source_differences(context.settings, sources, wanted, seen) if sources else []
    return Found(
        project=project,
        mask=mask,
        wanted=wanted,
        hashes=compose.hashes,
        seen=seen,
        engine_answers=engine_answers,
        output=output,
        differences=found,
    )


def _quickly(project: Project, *, second: bool) -> WantedProject | None:
    """Return what the compose file wants where that can be told without compose; what is odd in it, compose tells."""
    try:
        data = read_quickly(project)
        return None if data is None else read_data(project, data, second=second)
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError):
        return None


@contextmanager
def telling(problems: list[str]) -> Iterator[None]:
    """Take an error of the block for one more problem."""
    try:
        yield
    except GovmaError as error:
        problems += str(error).split("\n")
    except OSError as error:
        problems.append(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceState:
    """One service as people see it. Times are epoch seconds, 0 when not known."""

    name: str
    container: str = ""
    state: str
    """In Docker's words; `absent` without a container, `unknown` when Docker does not answer."""
    health: str = ""
    started: float = 0.0
    restarts: int = 0
    image: str
    image_id: str = ""
    image_made: float = 0.0
    ports: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ()
    """What is mounted, in words: never a path that may be a value of `.env`."""
    builds: bool
    lines: tuple[str, ...] = ()
    """The last lines of its output."""


@dataclass(frozen=True, slots=True)
class View:
    """All of it. `problems` are sentences: what could not be looked at, and why."""

    project: str
    directory: str
    services: tuple[ServiceState, ...] = ()
    differences: tuple[Difference, ...] = ()
    storage: tuple[Store, ...] = ()
    problems: tuple[str, ...] = ()
    every_setting: bool = False
    """True when compose compared all settings; False when it was not asked, and only ours were compared."""

    def plain(self) -> dict[str, Any]:
        """Return it as JSON holds it, with nothing in it that a terminal would take for a command."""
        plain: dict[str, Any] = clean_all(dataclasses.asdict(self))
        return plain


def view(context: Context, *, lines: int = 0, disk: bool = False) -> View:
    """Look at everything; what cannot be looked at is a sentence among the problems, never an error.

    `lines` of each container's output, and with `disk` how much is in each persistent directory.
    """
    settings = context.settings
    problems: list[str] = []
    storage: list[Store] = []
    directory = str(settings.services_compose_dir or "")
    try:
        project = find_project(settings)
    except PreflightError as error:
        problems += error.problems
        with telling(problems):
            storage = stores(settings, disk=disk)
        return View("", directory, storage=tuple(storage), problems=tuple(problems))
    found = find(context, project, problems, lines)
    with telling(problems):
        storage = stores(settings, disk=disk, used=mounted(found.wanted, settings))
    mask = found.mask
    return View(
        project.name,
        mask(directory),
        _states(found, settings),
        tuple(dataclasses.replace(each, what=mask(each.what), takes=mask(each.takes)) for each in found.differences),
        tuple(dataclasses.replace(store, mend=mask(store.mend)) for store in storage),
        tuple(mask.lines(problems)),
        every_setting=bool(found.hashes),
    )


def _states(found: Found, settings: Settings) -> tuple[ServiceState, ...]:
    services = dict(found.wanted.services) if found.wanted else {}
    names = [*services, *(each.service for each in found.seen.containers if each.service not in services)]
    rows = []
    for name in dict.fromkeys(names):
        containers = found.seen.of(name)
        rows += [_state(found, settings, services.get(name), each) for each in containers]
        if not containers and name not in found.project.inactive:
            rows.append(_without(services[name], "absent" if found.engine_answers else "unknown", found.mask))
    return tuple(rows)


def _without(wanted: Wanted, state: str, mask: NameMask) -> ServiceState:
    return ServiceState(name=wanted.name, state=state, image=mask.image(wanted.image), builds=wanted.builds)


def _state(found: Found, settings: Settings, wanted: Wanted | None, container: Container) -> ServiceState:
    mask = found.mask
    image = found.seen.images.get(container.image_id)
    return ServiceState(
        name=container.service,
        container=mask.whole(container.name),
        state=container.state,
        health=container.health,
        started=container.started,
        restarts=container.restarts,
        image=mask.image(wanted.image if wanted else container.image),
        image_id=short(container.image_id),
        image_made=image.created if image else 0.0,
        ports=tuple(sorted(_port(port, wanted, found) for port in container.ports)),
        mounts=tuple(_mount(mount, settings, mask) for mount in sorted(container.mounts, key=lambda each: each.target)),
        builds=bool(wanted and wanted.builds),
        lines=tuple(found.output.get(container.id, ())),
    )


def _port(port: tuple[str, str, str], wanted: Wanted | None, found: Found) -> str:
    mask = found.mask
    address, published, inside = port
    number, _, protocol = inside.partition("/")
    # What the compose files have themselves is no secret, whatever else is the same.
    inside = inside if number in re.findall(r"\d+", found.project.texts()) else f"{mask.whole(number)}/{protocol}"
    if wanted is not None and port not in wanted.ports:
        # It may be what stood in `.env` before.
        return tr("(another port)->{inside}", inside=inside)
    shown = mask.whole(published)
    return f"{mask.whole(address)}:{shown}->{inside}" if address else f"{shown}->{inside}"


def _mount(mount: Mount, settings: Settings, mask: NameMask) -> str:
    """Say what is mounted where, by the names of our settings: the path itself may be a value of `.env`."""
    target = mask.whole(mount.target)
    mode = "" if mount.writable else tr(" (read-only)")
    if mount.kind != "bind":
        return f"{target}: {mount.kind}{mode}"
    source = real(mount.source)
    known = (
        ("versions_dir", settings.versions_dir), ("upload_dir", settings.upload_dir),
        ("image_dir", settings.image_dir), ("services.storage_dir", settings.services_storage_dir),
        ("services.compose_dir", settings.services_compose_dir),
    )  # fmt: skip
    for name, directory in known:
        if directory is not None and source == real(str(directory)):
            return f"{target}: {name}{mode}"
    for name, directory in known:
        if directory is not None and source.is_relative_to(real(str(directory))):
            return tr("{target}: in {name}{mode}", target=target, name=name, mode=mode)
    return tr("{target}: a directory of this machine{mode}", target=target, mode=mode)
