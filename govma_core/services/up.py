"""Restart of containers: images are built while the site runs, then only what changed is exchanged, one by one.

What is not good is put back: the container that ran before, its image's name, the commit of prod-env.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from docker import DockerClient

from govma_core.context import Context, Outcome
from govma_core.engine.client import connected
from govma_core.errors import EngineError, GovmaError, PreflightError, RestartError, RunCancelled, UsageError
from govma_core.fs import jsonfile
from govma_core.services import replace_container, restore
from govma_core.services.compose import (
    Project,
    Question,
    execute,
    find_project,
    hashes_in,
    require_all_set,
    require_program,
)
from govma_core.services.compose_config import Wanted, WantedProject, read_config
from govma_core.services.downtime_probe import Probe, address
from govma_core.services.env_secrets import NameMask
from govma_core.services.inspect import look, whole_mask
from govma_core.services.logs import last_lines
from govma_core.services.replace_container import Change, Journal, path_of, read_journal
from govma_core.services.restore import PutBack
from govma_core.services.source_drift import live_commit, note_built, opened
from govma_core.services.storage import mounted, stores
from govma_core.text.language import counted, tr

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
        done = restore.put_back(self._client, self.journal, self.reporter, self._settings.services_up_timeout)
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
        return replace_container.wait_until_good(
            self._client, change.service, lambda: self._newest(change), timeout, ends=ends
        )

    def _newest(self, change: Change) -> str:
        if change.new:
            return change.new
        there = look(self._client, self.project.name).of(change.service)
        return there[0].id if there else ""


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
                beside = replace_container.can_be_beside(wanted.services[name], there)
                well = former is not None and replace_container.runs_well(former)
                change = Change(name, former.id if former else "", former.name if former else "", beside, well=well)
                self.journal.changes.append(change)
                self.journal.write()
                if not beside or former is None:
                    continue
                arguments = self._client, self.project, wanted.services[name], self.reporter
                change.new = replace_container.make_beside(*arguments)
                self.journal.write()
                # Version 2 of compose, asked for its hash, tells another one than it gives where there is an env_file.
                if replace_container.discarded_if_equal(self._client, former, change.new):
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
            replace_container.exchange(self._client, change)
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
        replace_container.remove_former(self._client, self.journal, self.reporter)
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


_BUILD_SECONDS = 3600.0
_ANSWER_SECONDS = 300
"""A container may be given minutes to stop (stop_grace_period); the engine answers when it has."""


def run(context: Context, *, services: Sequence[str] | None = None, sync: bool = False) -> Outcome:
    """Bring the named services (all without names) to what the compose file wants.

    With `sync` prod-env is moved forward to the commit that is live before. RestartError when a new container does
    not get good, and the former one is back.
    """
    project = find_project(context.settings)
    with project.mask.over_errors(), connected(_ANSWER_SECONDS, otherwise="") as client:
        restart = Restart(context, client, project)
        with context.reporter.stage("preflight"):
            require_program()
            _recover(context, restart)
            wanted = config(project)
            chosen = _chosen(project, wanted, services)
            _warn_of_storage(context, wanted)
        with restart.put_back_if_it_fails():
            if sync and _synced(context, restart):
                project = restart.project = find_project(context.settings)
                wanted = config(project)
                chosen = _chosen(project, wanted, services)
            restart.hide(whole_mask(project, wanted, look(client, project.name)))
            with restart.mask.over_errors():
                _build(restart, wanted, chosen)
                changed = restart.changed(wanted, chosen)
                if changed and restart.prepare(wanted, changed):
                    return restart.carry_out(wanted)
                return _nothing(restart, wanted, chosen)


def config(project: Project) -> WantedProject:
    """Return what the compose file wants; CommandError with compose's words, masked, when it is not valid.

    PreflightError where a variable is not set: containers made with nothing in its place are nobody's wish.
    """
    question = Question(project, "config")
    answer = question.answer(project.mask)
    require_all_set(question)
    return read_config(project, answer)


def _chosen(project: Project, wanted: WantedProject, services: Sequence[str] | None) -> list[str]:
    unknown = [name for name in services or () if name not in wanted.services]
    if unknown:
        raise UsageError(
            tr(
                "The compose file has no service {unknown}. It has {services}.",
                unknown=", ".join(unknown),
                services=", ".join(wanted.services) or tr("none"),
            )
        )
    # Compose's version 1 tells of those, too, whose profile is not active.
    return wanted.in_order(set(services or wanted.services.keys() - project.inactive))


def _recover(context: Context, restart: Restart) -> None:
    left = read_journal(context.settings.state_dir)
    if left is None:
        return
    restart.reporter.warning(tr("The restart {run} was interrupted; what it left is put right first.", run=left.run))
    restart.journal = left
    if left.done:
        restart.finish()
    elif restart.put_back().problems:
        # What it would take to bring that back must not be overwritten by what is begun now.
        raise EngineError(
            tr(
                "What the restart {run} left could not be put back; the log says why. Fix that and start again; "
                "or remove {path} to continue with things as they are.",
                run=left.run,
                path=left.path,
            )
        )
    restart.begin()


def _warn_of_storage(context: Context, wanted: WantedProject) -> None:
    for store in stores(context.settings, used=mounted(wanted, context.settings)):
        if store.problem:
            context.reporter.warning(
                tr("{problem}. To fix: {mend}", problem=store.problem, mend=store.mend)
                if store.mend
                else f"{store.problem}."
            )


def _synced(context: Context, restart: Restart) -> bool:
    """Move prod-env forward to the commit that is live; give whether it had to be."""
    settings = context.settings
    with restart.reporter.stage("sync") as remark:
        commit = live_commit(settings)
        if not commit:
            raise PreflightError(
                [
                    tr(
                        "The commit of the live version is not recorded, so prod-env cannot be brought to it. "
                        "Deploy first."
                    )
                ]
            )
        with opened(restart.project.directory, settings) as repository:
            head = repository.sha("HEAD")
            if not repository.has(commit):
                repository.fetch_from(settings.source_dir, commit)
            if repository.contains(head, commit):
                remark.skip(tr("prod-env already contains {commit}", commit=commit[:9]))
                return False
            # Written down first: what is moved can be moved back by whoever comes after a crash.
            restart.journal.head = head
            restart.journal.write()
            repository.forward(commit)
        remark.note(f"{head[:9]} -> {commit[:9]}")
        return True


def _build(restart: Restart, wanted: WantedProject, chosen: Sequence[str]) -> None:
    with restart.reporter.stage("build") as remark:
        builds = [name for name in chosen if wanted.services[name].builds]
        if not builds:
            remark.skip(tr("no image is built here"))
            return
        restart.note_tags([wanted.services[name].image for name in builds])
        execute(restart.project, ["build", *builds], restart.reporter, _BUILD_SECONDS)
        remark.note(tr("{images}, while the site runs", images=counted(len(builds), "image", "images")))


def _nothing(restart: Restart, wanted: WantedProject, chosen: Sequence[str]) -> Outcome:
    restart.note_built(wanted, chosen)
    restart.journal.clear()
    return Outcome(tr("Nothing to do: all containers are as the compose file wants them."))
