"""The exchange of containers in its order, and its undoing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from docker import DockerClient

from govma_core.errors import EngineError, GovmaError, RevertedError, RunCancelled
from govma_core.language import tr
from govma_core.operations.context import Context, Outcome
from govma_core.operations.prod_env import opened
from govma_core.operations.services_sources import note_built
from govma_core.services import exchange
from govma_core.services.compose import Question, execute
from govma_core.services.journal import Change, Journal, path_of
from govma_core.services.logs import last_lines
from govma_core.services.mask import MaskedReporter
from govma_core.services.probe import Probe, address
from govma_core.services.project import Project
from govma_core.services.running import look
from govma_core.services.wanted import Wanted, WantedProject

_LAST_LINES = 10
_UP = ("up", "-d", "--no-build", "--no-deps")
_UP_SECONDS = 600.0


class Restart:
    """One restart of the containers of a project."""

    def __init__(self, context: Context, reporter: MaskedReporter, client: DockerClient, project: Project) -> None:
        self._context, self._client, self.reporter = context, client, reporter
        self._settings = context.settings
        self.project = project
        self.begin()

    def begin(self) -> None:
        """Have nothing under way; the journal is written with the first step."""
        self.journal = Journal(path_of(self._settings.state_dir), self._context.run_id, self.project.name)
        self._probe: Probe | None = None

    def note_tags(self, images: Sequence[str]) -> None:
        """Write down which images these names mean before others get them."""
        seen = look(self._client, self.project.name)
        for image in images:
            tag = image if ":" in image.rpartition("/")[2] else f"{image}:latest"
            if seen.tagged(image):
                self.journal.tags[tag] = seen.tagged(image)
        self.journal.write()

    def changed(self, wanted: WantedProject, chosen: Sequence[str]) -> list[str]:
        """Give the services that compose itself would recreate, create or start, in their order."""
        answer = Question(self.project, "config", "--hash=*").answer(self.reporter.names)
        hashes = dict(line.split()[:2] for line in answer.splitlines() if len(line.split()) >= 2)
        seen = look(self._client, self.project.name)
        found = []
        for name in chosen:
            there, image = seen.of(name), seen.tagged(wanted.services[name].image)
            same = [each for each in there if each.config_hash == hashes.get(name) and image in ("", each.image_id)]
            if not wanted.services[name].replicas:
                differs = any(each.running for each in there)
            else:
                differs = len(same) != len(there) or not all(each.running for each in there)
                differs = differs or len(there) != wanted.services[name].replicas
            if differs:
                found.append(name)
        return found

    def prepare(self, wanted: WantedProject, changed: Sequence[str]) -> list[str]:
        """Make what can be made while the site runs; give the services that differ indeed."""
        seen = look(self._client, self.project.name)
        with self.reporter.stage("prepare") as remark:
            for name in changed:
                there = seen.of(name)
                former = there[0] if there else None
                beside = exchange.can_be_beside(wanted.services[name], there)
                change = Change(name, former.id if former else "", former.name if former else "", beside)
                self.journal.changes.append(change)
                self.journal.write()
                if not beside or former is None:
                    continue
                arguments = self._client, self.project, wanted.services[name], self.reporter, self.reporter.names
                change.new = exchange.make_beside(*arguments)
                self.journal.write()
                # Version 2 of compose, asked for its hash, tells another one than it gives where there is an env_file.
                if exchange.discarded_if_equal(self._client, former, change.new):
                    self.journal.changes.remove(change)
                    self.journal.write()
            left = [change.service for change in self.journal.changes]
            remark.note(tr("{changed}; nothing is stopped yet", changed=", ".join(left) or tr("nothing differs")))
        return left

    def carry_out(self, wanted: WantedProject) -> Outcome:
        """Exchange what is prepared one by one; RevertedError when one does not get good, and all is put back."""
        changed = [change.service for change in self.journal.changes]
        seen = look(self._client, self.project.name)
        ports = {each.service: list(each.ports) for each in seen.containers if each.running}
        url = address(self._settings.services_probe_url or self._settings.activation_url, ports)
        self.reporter.info(
            tr("From here on it cannot be cancelled. The site is asked at {url}.", url=url or tr("no address"))
        )
        self.reporter.cancellation.close()
        self._probe = Probe(url, self._settings.activation_host) if url else None
        if self._probe is None:
            self._restart_all(wanted)
        else:
            with self._probe.going():
                self._restart_all(wanted)
        # From here on nothing puts it back any more, whatever becomes of the notes.
        self.journal.done = True
        self.journal.write()
        self.note_built(wanted, changed)
        self.finish()
        return self._outcome(changed)

    def _restart_all(self, wanted: WantedProject) -> None:
        for change in self.journal.changes:
            with self.reporter.stage(f"restart {change.service}") as remark:
                try:
                    state = self._restart(wanted.services[change.service], change)
                except GovmaError as error:
                    said = self._said(change)
                    self._reverted(f"{error}{said}")
                remark.note(state)
        probe = self._probe
        if probe is not None and probe.answered and not probe.answers(self._settings.services_up_timeout):
            self._reverted(tr("All containers run, but the site does not answer at {url}.", url=probe.url))

    def _restart(self, wanted: Wanted, change: Change) -> str:
        """Exchange one service's container; give what it came to, EngineError when that is not good."""
        change.touched = True
        self.journal.write()
        ends = False
        if change.beside:
            exchange.exchange(self._client, change)
        else:
            # What did its work and ended before may do so again.
            running = any(each.running for each in look(self._client, self.project.name).of(change.service))
            ends = not running and wanted.restart.partition(":")[0] in ("no", "on-failure")
            execute(self.project, [*_UP, change.service], self.reporter, self.reporter.names, _UP_SECONDS)
        if not wanted.replicas:
            return tr("none is wanted")
        return self._good(change, ends=ends)

    def _good(self, change: Change, *, ends: bool = False) -> str:
        timeout = self._settings.services_up_timeout
        return exchange.wait_until_good(self._client, change.service, lambda: self._newest(change), timeout, ends=ends)

    def _newest(self, change: Change) -> str:
        if change.new:
            return change.new
        there = look(self._client, self.project.name).of(change.service)
        return there[0].id if there else ""

    def _said(self, change: Change) -> str:
        """Tell the last lines of a container that is not good, before it is removed."""
        container = self._newest(change)
        try:
            lines = last_lines(self._client, container, _LAST_LINES, self.reporter.names) if container else []
        except GovmaError:
            lines = []
        if lines:
            self.reporter.warning(tr("The last lines of the new container of {service}:", service=change.service))
            self.reporter.output(*lines)
            return tr(" It said last: {strip}", strip=lines[-1].strip()[:200])
        return ""

    def _reverted(self, why: str) -> None:
        """Put everything back while the site is still asked, and raise what tells it."""
        self.reporter.error(why)
        with self.reporter.stage("put back"):
            whole = self.put_back()
            probe = self._probe
            if probe is not None and probe.answered:
                probe.answers(self._settings.services_up_timeout)
        state = tr("The former containers are back") if whole else tr("Not all of what was before is back; see the log")
        raise RevertedError(f"{why} {state}; {self._silence()}.")

    def put_back(self) -> bool:
        """Bring back what was before; give whether all of it is."""
        done = exchange.put_back(self._client, self.journal, self.reporter)
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
        for problem in done.problems:
            self.reporter.error(problem)
        if not done.problems:
            self.journal.clear()
        return not done.problems

    def _bring_back(self, service: str) -> None:
        """Have compose recreate a container that it had recreated: the files have to be as they were for that."""
        change = next(each for each in self.journal.changes if each.service == service)
        if not change.former:
            execute(self.project, ["rm", "-s", "-f", service], self.reporter, self.reporter.names, _UP_SECONDS)
            return
        execute(self.project, [*_UP, service], self.reporter, self.reporter.names, _UP_SECONDS)
        try:
            self._good(change, ends=True)
        except GovmaError as error:
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
        except RevertedError:
            raise
        except BaseException as error:
            if self.journal.path.exists() and not self.journal.done:
                if isinstance(error, RunCancelled | GovmaError):
                    self.reporter.info(tr("What was prepared is taken back; the containers run as before."))
                self.put_back()
            raise

    def note_built(self, wanted: WantedProject, services: Sequence[str]) -> None:
        """Write down from which commit of prod-env the images of these services were built; a warning if it fails."""
        try:
            seen = look(self._client, self.project.name)
            images = [seen.tagged(wanted.services[name].image) for name in services if wanted.services[name].builds]
            with opened(self.project.directory, self._settings) as repository:
                # What was changed and not committed is in the image, and in no commit.
                head = repository.sha("HEAD") if not repository.edited("docker") else ""
            if head and any(images):
                note_built(self._settings, {image: head for image in images if image})
        except (GovmaError, OSError) as error:
            self.reporter.warning(
                tr("From which commit the images were built could not be written down: {error}", error=error)
            )

    def finish(self) -> None:
        """Clear away what was replaced."""
        exchange.remove_former(self._client, self.journal, self.reporter)
        self.journal.clear()

    def _silence(self) -> str:
        probe = self._probe
        if probe is None:
            return tr("whether the site answered meanwhile is not known (services.probe_url)")
        if not probe.answered:
            return tr("the site did not answer at {url} before, either", url=probe.url)
        return tr("the site did not answer for {silent:.2f} s", silent=probe.silent)

    def _outcome(self, changed: Sequence[str]) -> Outcome:
        probe = self._probe
        silent = round(probe.silent, 3) if probe is not None and probe.answered else None
        details: dict[str, Any] = {"services": list(changed), "seconds_without_answer": silent}
        text = tr(
            "{changed}: as the compose file wants {them}; ",
            changed=", ".join(changed),
            them=tr("it") if len(changed) == 1 else tr("them"),
        )
        message = f"{text}{self._silence()}."
        self.reporter.info(message)
        return Outcome(self.reporter.names(message), details=details)
