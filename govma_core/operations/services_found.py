"""What the view of the containers is made of: engine, compose and git are asked, where possible at the same time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from govma_core.errors import GovmaError
from govma_core.language import tr
from govma_core.operations.context import Context
from govma_core.services.compose import Question, hashes_in, is_second, require_all_set, require_program
from govma_core.services.drift import Difference, differences
from govma_core.services.journal import read_journal
from govma_core.services.mask import NameMask
from govma_core.services.project import Project
from govma_core.services.quick import read_quickly
from govma_core.services.secrets import whole_mask
from govma_core.services.wanted import WantedProject, read_config, read_data

if TYPE_CHECKING:
    from govma_core.services.running import Seen

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
    from govma_core.engine.api import connected
    from govma_core.operations.services_sources import gather, source_differences
    from govma_core.services.logs import last_lines
    from govma_core.services.running import Seen, look

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
