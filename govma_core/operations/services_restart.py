"""The exchange of containers in its order; what is not good is put back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from govma_core import jsonfile
from govma_core.errors import GovmaError, RestartError
from govma_core.language import tr
from govma_core.operations.context import Outcome
from govma_core.operations.prod_env import opened
from govma_core.operations.services_sources import note_built
from govma_core.operations.services_undo import UP, UP_SECONDS, Undoing
from govma_core.services import exchange
from govma_core.services.compose import Question, execute, hashes_in
from govma_core.services.journal import Change
from govma_core.services.logs import last_lines
from govma_core.services.probe import Probe, address
from govma_core.services.running import look
from govma_core.services.wanted import Wanted, WantedProject

SAID = "services-said.txt"
"""File of state_dir: the last lines of the container that was not good last, for its owner only."""

_LAST_LINES = 40


class Restart(Undoing):
    """One restart of the containers of a project."""

    def begin(self) -> None:
        """Have nothing under way; the journal is written with the first step."""
        super().begin()
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
        """Return the services that compose itself would recreate, create or start, in their order."""
        hashes = hashes_in(Question(self.project, "config", "--hash=*").answer(self.mask))
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
                well = former is not None and exchange.runs_well(former)
                change = Change(name, former.id if former else "", former.name if former else "", beside, well=well)
                self.journal.changes.append(change)
                self.journal.write()
                if not beside or former is None:
                    continue
                arguments = self._client, self.project, wanted.services[name], self.reporter
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
        """Exchange what is prepared one by one; RestartError when one does not get good, and all is put back."""
        changed = [change.service for change in self.journal.changes]
        seen = look(self._client, self.project.name)
        ports = {each.service: list(each.ports) for each in seen.containers if each.running}
        url = address(ports, self._settings.services_probe_url, self._settings.activation_url)
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
            execute(self.project, [*UP, change.service], self.reporter, UP_SECONDS)
        if not wanted.replicas:
            return tr("none is wanted")
        return self._good(change, ends=ends)

    def _said(self, change: Change) -> str:
        """Keep the last lines of a container that is not good, before it is removed; give where they are.

        A run's log is for more people than what containers print is.
        """
        path = self._settings.state_dir / SAID
        try:
            container = self._newest(change)
            lines = last_lines(self._client, container, _LAST_LINES, self.mask) if container else []
            if not lines:
                return ""
            jsonfile.replace_bytes(path, ("\n".join(lines) + "\n").encode(), mode=0o600)
        except (GovmaError, OSError):
            return ""
        return tr(" What it said last is in {path}.", path=path)

    def _reverted(self, why: str) -> None:
        """Put everything back while the site is still asked, and raise what tells it."""
        self.reporter.error(why)
        with self.reporter.stage("put back"):
            whole = self.put_back().whole
            probe = self._probe
            silent = probe is not None and probe.answered and not probe.answers(self._settings.services_up_timeout)
        if not whole:
            state = tr("Not all of what was before is back; see the log")
        elif silent:
            state = tr("The former containers are back, but the site does not answer as it did before")
        else:
            state = tr("The former containers are back")
        raise RestartError(f"{why} {state}; {self._silence()}.")

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
        text = tr("Now as in the compose file: {changed}; ", changed=", ".join(changed))
        message = f"{text}{self._silence()}."
        self.reporter.info(message)
        return Outcome(self.mask(message), details=details)
