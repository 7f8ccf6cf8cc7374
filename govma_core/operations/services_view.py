"""The view of the containers: what is there, what is wanted, what differs, and what it takes. Changes nothing."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from govma_core.errors import PreflightError
from govma_core.language import tr
from govma_core.operations.context import Context
from govma_core.operations.services_found import Found, find, telling
from govma_core.services.drift import Difference, short
from govma_core.services.mask import NameMask
from govma_core.services.places import real
from govma_core.services.project import find_project
from govma_core.services.storage import Store, mounted, stores
from govma_core.services.wanted import Mount, Wanted
from govma_core.settings import Settings
from govma_core.text import clean_all

if TYPE_CHECKING:
    from govma_core.services.running import Container


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
