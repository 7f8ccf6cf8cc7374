"""The view of the containers: what is there, what is wanted, what differs, and what it takes to change that."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from govma_core.context import Context
from govma_core.engine.client import connected
from govma_core.errors import GovmaError, PreflightError
from govma_core.masking import Mask
from govma_core.services.compose import Project, Question, find_project, require_all_set
from govma_core.services.compose_cache import Answer, keep_answer, key_of, read_answer, was_second
from govma_core.services.compose_config import ComposeConfig, Mount, ServiceConfig, read_config, read_data
from govma_core.services.config_hash import Hashes, ask_first, read_hashes
from govma_core.services.drift import Difference, differences, real, short
from govma_core.services.storage import Store, mounted, stores
from govma_core.settings import Settings
from govma_core.text.clean import clean_all
from govma_core.text.language import tr

if TYPE_CHECKING:
    from govma_core.services.inspect import Container, ProjectState

_ENGINE_SECONDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceState:
    """One container, or a service without one, as front ends show it. Times are epoch seconds, 0 when not known."""

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
    """True when compose compared all settings; False when it could not, and only ours were compared."""

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
        with collected(problems):
            storage = stores(settings, disk=disk)
        return View("", directory, storage=tuple(storage), problems=tuple(problems))
    look = _Look(settings, project, problems)
    look.carry_out(lines)
    with collected(problems):
        storage = stores(settings, disk=disk, used=mounted(look.compose.config, settings))
    mask = look.mask
    return View(
        project.name,
        mask(directory),
        tuple(look.services()),
        tuple(dataclasses.replace(each, what=mask(each.what), takes=mask(each.takes)) for each in look.differences),
        tuple(dataclasses.replace(store, mend=mask(store.mend)) for store in storage),
        tuple(mask.lines(problems)),
        every_setting=bool(look.compose.hashes),
    )


class _Look:
    """One look at a project: what compose, the engine and git say. What does not answer becomes a problem."""

    mask: Mask
    state: ProjectState

    def __init__(self, settings: Settings, project: Project, problems: list[str]) -> None:
        self._settings, self._project, self._problems = settings, project, problems
        # Asked first: it takes longer than all the rest, which is found out meanwhile.
        self.compose = _Compose(project, settings.state_dir, problems)
        self.differences: list[Difference] = []
        self._engine_answers = False
        self._output: dict[str, list[str]] = {}

    def carry_out(self, lines: int) -> None:
        """Ask all three side by side; the last `lines` of each container's output, too."""
        # Imported while compose is at work: git's library takes as long as all of our own.
        from concurrent.futures import Future, ThreadPoolExecutor

        from govma_core.services import inspect, logs, restore, source_drift

        compose, project, settings = self.compose, self._project, self._settings
        self.state = inspect.ProjectState((), {}, {}, ())
        answers: Future[tuple[ComposeConfig | None, ProjectState]] = Future()
        with ExitStack() as stack:
            git = stack.enter_context(ThreadPoolExecutor(1))
            sources = git.submit(source_drift.source_differences, settings, answers.result)
            # Whatever fails here must not leave git's thread waiting.
            stack.callback(answers.cancel)
            stack.callback(compose.give_up)
            with collected(self._problems):
                client = stack.enter_context(connected(_ENGINE_SECONDS, otherwise=""))
                self.state = inspect.look(client, project.name)
                self._engine_answers = True
            compose.answer(self.state)
            answers.set_result((compose.config, self.state))
            self.mask = inspect.whole_mask(project, compose.config, self.state)
            with collected(self._problems):
                for container in self.state.containers if lines else ():
                    self._output[container.id] = logs.last_lines(client, container.id, lines, self.mask)
        if compose.config is not None and self._engine_answers:
            self.differences = differences(
                compose.config, self.state, settings, inactive=project.inactive, hashes=compose.hashes
            )
        with collected(self._problems):
            self.differences += sources.result()
        if restore.path_of(settings.state_dir).exists():
            self._problems.append(
                tr(
                    "A restart of containers is in progress, or was interrupted: the next `govma-console services "
                    "up` first cleans up after an interrupted one."
                )
            )

    def services(self) -> Iterator[ServiceState]:
        """Yield the containers, and each service without one; the mounts and ports as far as they are no secret."""
        configs = dict(self.compose.config.services) if self.compose.config else {}
        # What the compose files have themselves is no secret, whatever else is the same.
        numbers = frozenset(re.findall(r"\d+", self._project.texts()))
        for name in dict.fromkeys([*configs, *(each.service for each in self.state.containers)]):
            containers, config = self.state.of(name), configs.get(name)
            for container in containers:
                yield self._service(config, container, numbers)
            if config is not None and not containers and name not in self._project.inactive:
                state, image = "absent" if self._engine_answers else "unknown", self.mask.image(config.image)
                yield ServiceState(name=name, state=state, image=image, builds=config.builds)

    def _service(self, config: ServiceConfig | None, container: Container, numbers: Collection[str]) -> ServiceState:
        mask, image = self.mask, self.state.images.get(container.image_id)
        mounts = sorted(container.mounts, key=lambda each: each.target)
        return ServiceState(
            name=container.service,
            container=mask.whole(container.name),
            state=container.state,
            health=container.health,
            started=container.started,
            restarts=container.restarts,
            image=mask.image(config.image if config else container.image),
            image_id=short(container.image_id),
            image_made=image.created if image else 0.0,
            ports=tuple(sorted(_port(port, config, mask, numbers) for port in container.ports)),
            mounts=tuple(_mount(mount, self._settings, mask) for mount in mounts),
            builds=bool(config and config.builds),
            lines=tuple(self._output.get(container.id, ())),
        )


class _Compose:
    """Compose's answer of before where its files are as they were; else compose, asked in the background."""

    def __init__(self, project: Project, state_dir: Path, problems: list[str]) -> None:
        self._project, self._state_dir, self._problems = project, state_dir, problems
        self.config: ComposeConfig | None = None
        self.hashes: Hashes = {}
        self._former: Answer | None = None
        self._key = ""
        self._config_question: Question | None = None
        self._hash_question: Question | None = None
        with collected(problems):
            self._key = key_of(project)
            self._former = read_answer(state_dir, project, self._key)
            if self._former is not None:
                self.config = read_data(project, self._former.data)
                return
            self._config_question = Question(project, "config")
            if not was_second(state_dir):
                self._hash_question = ask_first(project)

    def answer(self, state: ProjectState) -> None:
        """Wait for what was asked, and keep it; the images of `state` decide whether the former hashes count."""
        if self._config_question is not None:
            with collected(self._problems):
                self.config = read_config(self._project, self._config_question.answer(self._project.mask))
            with collected(self._problems):
                require_all_set(self._config_question)
        if self.config is None:
            return
        images = _images(self.config, state)
        if self._former is not None and (self.config.second or self._former.images == images):
            self.hashes = self._former.hashes
            return
        # Version 1 needs the engine for it, and the images: what is wrong with these is reported elsewhere.
        with collected([]):
            self.hashes = read_hashes(self._project, self.config, self._project.mask, self._hash_question)
        if self.hashes and not (self._config_question and self._config_question.unset):
            keep_answer(self._state_dir, self._project, self._key, Answer(self.config.data, self.hashes, images))

    def give_up(self) -> None:
        """End what has not answered."""
        for question in (self._config_question, self._hash_question):
            if question is not None:
                question.give_up()


def _images(config: ComposeConfig, state: ProjectState) -> dict[str, str]:
    return {service.image: state.tagged(service.image) for service in config.services.values()}


@contextmanager
def collected(problems: list[str]) -> Iterator[None]:
    """Take an error of the block for one more problem."""
    try:
        yield
    except GovmaError as error:
        problems += str(error).split("\n")
    except OSError as error:
        problems.append(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}.")


def _port(port: tuple[str, str, str], config: ServiceConfig | None, mask: Mask, numbers: Collection[str]) -> str:
    """Say where a port is published; `numbers` are those that the compose files have themselves."""
    address, published, inside = port
    number, _, protocol = inside.partition("/")
    inside = inside if number in numbers else f"{mask.whole(number)}/{protocol}"
    if config is not None and port not in config.ports:
        # It may be what stood in `.env` before.
        return tr("(another port)->{inside}", inside=inside)
    outside = f"{mask.whole(address)}:" if address else ""
    return f"{outside}{mask.whole(published)}->{inside}"


def _mount(mount: Mount, settings: Settings, mask: Mask) -> str:
    """Say what is mounted where, by the names of our settings: the path itself may be a value of `.env`."""
    target = mask.whole(mount.target)
    mode = "" if mount.writable else tr(" (read-only)")
    if mount.kind != "bind":
        return f"{target}: {mount.kind}{mode}"
    source = real(mount.source)
    directories = (
        ("versions_dir", settings.versions_dir), ("upload_dir", settings.upload_dir),
        ("image_dir", settings.image_dir), ("services.storage_dir", settings.services_storage_dir),
        ("services.compose_dir", settings.services_compose_dir),
    )  # fmt: skip
    for name, directory in directories:
        if directory is not None and source == real(str(directory)):
            return f"{target}: {name}{mode}"
    for name, directory in directories:
        if directory is not None and source.is_relative_to(real(str(directory))):
            return tr("{target}: in {name}{mode}", target=target, name=name, mode=mode)
    return tr("{target}: a directory of this machine{mode}", target=target, mode=mode)
