"""What a restart of containers has under way, and its undoing: containers, images and prod-env as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from docker import DockerClient

from govma_core.errors import EngineError, GovmaError, RestartError, RunCancelled
from govma_core.language import tr
from govma_core.operations.context import Context
from govma_core.operations.prod_env import opened
from govma_core.services import exchange, putback
from govma_core.services.compose import execute
from govma_core.services.journal import Change, Journal, path_of
from govma_core.services.mask import NameMask
from govma_core.services.project import Project
from govma_core.services.putback import PutBack
from govma_core.services.running import look

UP = ("up", "-d", "--no-build", "--no-deps")
"""How compose is told to bring up one service."""

UP_SECONDS = 600.0
"""How long it may take."""


class Undoing:
    """What is under way, by its journal, and how it is put back."""

    def __init__(self, context: Context, client: DockerClient, project: Project) -> None:
        self._context, self._client, self.reporter = context, client, context.reporter
        self._settings = context.settings
        self._others = context.reporter.mask
        self.project = project
        self.hide(project.mask)
        self.begin()

    def hide(self, mask: NameMask) -> None:
        """Have this taken out of all that is told from here on."""
        self.mask = mask
        self.reporter.mask = mask.beside(self._others)

    def begin(self) -> None:
        """Have nothing under way; the journal is written with the first step."""
        self.journal = Journal(path_of(self._settings.state_dir), self._context.run_id, self.project.name)

    def put_back(self) -> PutBack:
        """Bring back what was before; what is not as before is told in the log, too."""
        done = putback.put_back(self._client, self.journal, self.reporter, self._settings.services_up_timeout)
        if self.journal.head:
            try:
                with opened(self.project.directory, self._settings) as repository:
                    repository.back(self.journal.head)
                self.reporter.warning(tr("prod-env is back at {head}.", head=self.journal.head[:9]))
            except GovmaError as error:
                done.problems.append(
                    tr("prod-env could not be moved back to {head}: {error}", head=self.journal.head[:9], error=error)
                )
        for service in done.left:
            try:
                self._bring_back(service)
            except GovmaError as error:
                done.problems.append(tr("{service} could not be brought back: {error}", service=service, error=error))
        for problem in (*done.problems, *done.final):
            self.reporter.error(problem)
        if not done.problems:
            self.journal.clear()
        return done

    def _bring_back(self, service: str) -> None:
        """Have compose recreate a container that it had recreated: the files have to be as they were for that."""
        change = next(each for each in self.journal.changes if each.service == service)
        if not change.former:
            execute(self.project, ["rm", "-s", "-f", service], self.reporter, UP_SECONDS)
            return
        execute(self.project, [*UP, service], self.reporter, UP_SECONDS)
        try:
            self._good(change, ends=True)
        except GovmaError as error:
            if not change.well:
                return
            raise EngineError(
                tr(
                    "{error} It was made from the compose file and .env as they are now, and these are not what the "
                    "container before was made from. Take back what was changed in them, then run `govma-console "
                    "services up` once more.",
                    error=error,
                )
            ) from None

    @contextmanager
    def put_back_if_it_fails(self) -> Iterator[None]:
        """Undo what was prepared when the block does not get to its end, whatever the reason."""
        try:
            yield
        except RestartError:
            raise
        except BaseException as error:
            if self.journal.path.exists() and not self.journal.done:
                whole = self.put_back().whole
                if whole and isinstance(error, RunCancelled | GovmaError):
                    self.reporter.info(tr("What was prepared has been undone; the containers run as before."))
            raise

    def _good(self, change: Change, *, ends: bool = False) -> str:
        timeout = self._settings.services_up_timeout
        return exchange.wait_until_good(self._client, change.service, lambda: self._newest(change), timeout, ends=ends)

    def _newest(self, change: Change) -> str:
        if change.new:
            return change.new
        there = look(self._client, self.project.name).of(change.service)
        return there[0].id if there else ""
