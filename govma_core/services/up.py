"""Restart of containers: images are built while the site runs, then compose recreates what changed, one by one.

`run` is the order of it; each step of a restart is a method of Restart. What is not good is put back (see restore):
the containers, what the names of their images meant, the commit of prod-env.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from govma_core.context import Context, Outcome
from govma_core.engine.client import connected, told_as
from govma_core.errors import EngineError, GovmaError, PreflightError, RestartError, RunCancelled, UsageError
from govma_core.fs import jsonfile
from govma_core.masking import Mask
from govma_core.services.compose import Project, execute, find_project
from govma_core.services.compose_config import ComposeConfig, ServiceConfig, load_config
from govma_core.services.config_hash import read_hashes
from govma_core.services.downtime_probe import Probe, address
from govma_core.services.former_containers import forget_all, keep_description, keep_image
from govma_core.services.health import LONG_STEADY, STEADY, runs_well, wait_until_good
from govma_core.services.inspect import Container, ProjectState, listed_name, look, whole_mask
from govma_core.services.logs import keep_last_words
from govma_core.services.restore import Change, Journal, Restoration, path_of, read_journal
from govma_core.services.source_drift import live_commit, note_built, opened
from govma_core.services.storage import warn_of_owners
from govma_core.text.language import counted, tr

if TYPE_CHECKING:
    from docker import DockerClient

_UP = ("up", "-d", "--no-build", "--no-deps")
_UP_SECONDS = 600.0
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
            restart.recover()
            restart.choose(services)
            warn_of_owners(context.settings, restart.config, context.reporter)
        with restart.put_back_if_it_fails():
            if sync and restart.sync():
                restart.choose(services)
            state = look(client, restart.project.name)
            restart.hide(whole_mask(restart.project, restart.config, state))
            with restart.mask.over_errors():
                restart.build(state)
                state = look(client, restart.project.name)
                changed = restart.changed(state)
                if changed:
                    restart.prepare(changed, state)
                    changed = restart.carry_out(changed, state)
                # Before the notes: whatever becomes of these, what is good now stays.
                restart.clear(restart.journal)
                return restart.outcome(changed, state)


def choose(project: Project, config: ComposeConfig, services: Sequence[str] | None) -> list[str]:
    """Return the services that are meant, in the order of their dependencies; UsageError for a name that is none."""
    unknown = [name for name in services or () if name not in config.services]
    if unknown:
        raise UsageError(
            "The compose file has no service {unknown}. It has {services}.",
            unknown=", ".join(unknown),
            services=", ".join(config.services) or tr("none"),
        )
    # Version 1 of compose prints those, too, whose profile is not active.
    return config.in_order(set(services or config.services.keys() - project.inactive))


class Restart:
    """One restart of the containers of a project."""

    config: ComposeConfig
    names: list[str]

    def __init__(self, context: Context, client: DockerClient, project: Project) -> None:
        self._context, self._client, self.reporter = context, client, context.reporter
        self._settings = context.settings
        self._site_mask = context.reporter.mask
        self._probe = Probe("")
        self._new: list[tuple[str, str, bool]] = []
        """Service and id of each container that was restarted, and whether it may end when it has done its work."""
        self.project = project
        self.journal = Journal(path_of(self._settings.state_dir), context.run_id, project.name)
        self.hide(project.mask)

    def choose(self, services: Sequence[str] | None) -> None:
        """Read what the compose files want now, and of which services it is meant."""
        self.project = find_project(self._settings)
        self.config = load_config(self.project)
        self.names = choose(self.project, self.config, services)

    def hide(self, mask: Mask) -> None:
        """Mask all that is reported from here on."""
        self.mask = mask
        self.reporter.mask = mask.beside(self._site_mask)

    def recover(self) -> None:
        """Put right what a restart that was killed left; EngineError when something resists."""
        interrupted = read_journal(self._settings.state_dir)
        if interrupted is None:
            return
        self.reporter.warning(
            "The restart {run} was interrupted; what it left is put right first.", run=interrupted.run
        )
        if self.put_back(interrupted).problems:
            # What it would take to bring that back must not be overwritten by what is begun now.
            raise EngineError(
                "What the restart {run} left could not be put back; the log says why. Fix that and start again; "
                "or remove {path} to continue with things as they are.",
                run=interrupted.run,
                path=interrupted.path,
            )

    def put_back(self, journal: Journal) -> Restoration:
        """Bring back what was before a restart; what is not as before is reported as errors, too."""
        interrupted = journal is not self.journal
        restoration = Restoration(self._client, journal, self.reporter, self._settings, interrupted=interrupted)
        restoration.carry_out()
        if not restoration.problems:
            self.clear(journal)
        return restoration

    def clear(self, journal: Journal) -> None:
        """Remove what was written down: all is as it was, or as it should be, and nothing puts it back any more."""
        with suppress(FileNotFoundError):
            journal.path.unlink()
            jsonfile.sync_directory(journal.path.parent)
        forget_all(self._client, journal.project)

    def sync(self) -> bool:
        """Move prod-env forward to the commit that is live; tell whether it had to be."""
        with self.reporter.stage("sync") as remark:
            commit = live_commit(self._settings)
            if not commit:
                sentence = tr(
                    "The commit of the live version is not recorded, so prod-env cannot be brought to it. Deploy first."
                )
                raise PreflightError([sentence])
            with opened(self.project.directory, self._settings) as repository:
                head = repository.sha("HEAD")
                if not repository.has(commit):
                    repository.run("fetch", "--no-tags", "--quiet", "--", str(self._settings.source_dir), commit)
                if repository.is_ancestor(commit, head):
                    remark.skip("prod-env already contains {commit}", commit=commit[:9])
                    return False
                # Written down first: what is moved can be moved back by whoever comes after a crash.
                self.journal.head = head
                self.journal.write()
                repository.forward(commit)
            remark.note(f"{head[:9]} -> {commit[:9]}")
            return True

    def build(self, state: ProjectState) -> None:
        """Build the images while the site runs; which images their names meant before is written down first."""
        with self.reporter.stage("build") as remark:
            builds = [name for name in self.names if self.config.services[name].builds]
            if not builds:
                remark.skip("no image is built here")
                return
            for image in (self.config.services[name].image for name in builds):
                if image_id := state.tagged(image):
                    self.journal.tags[listed_name(image)] = image_id
            self.journal.write()
            former = (container.image_id for name in builds for container in state.of(name))
            with told_as(tr("keep an image")):
                for image_id in {*self.journal.tags.values(), *former}:
                    keep_image(self._client, self.project.name, image_id)
            execute(self.project, ["build", *builds], self.reporter, _BUILD_SECONDS)
            remark.note("{images}, while the site runs", images=counted(len(builds), "image", "images"))

    def changed(self, state: ProjectState) -> list[str]:
        """Return the services that compose itself would recreate, create or start, in their order."""
        hashes = read_hashes(self.project, self.config, self.mask)

        def is_as_wanted(service: ServiceConfig) -> bool:
            containers, image = state.of(service.name), state.tagged(service.image)
            if not service.replicas:
                return not any(each.running for each in containers)
            return len(containers) == service.replicas and all(
                each.running and each.config_hash in hashes.get(service.name, ()) and image in ("", each.image_id)
                for each in containers
            )

        return [name for name in self.names if not is_as_wanted(self.config.services[name])]

    def prepare(self, services: Sequence[str], state: ProjectState) -> None:
        """Keep what it takes to bring the former containers back."""
        with self.reporter.stage("prepare") as remark:
            self.journal.write()
            with told_as(tr("look at a container")):
                for container in (each for service in services for each in state.of(service)):
                    keep_description(self._client, self.project.name, container.id)
            remark.note("{changed}; nothing is stopped yet", changed=", ".join(services))

    def carry_out(self, services: Sequence[str], state: ProjectState) -> list[str]:
        """Have compose recreate the containers one by one, while the site is asked; return the services that changed.

        RestartError when one does not get good, and all is put back.
        """
        ports = {each.service: list(each.ports) for each in state.containers if each.running}
        url = address(ports, self._settings.services_probe_url, self._settings.activation_url)
        self.reporter.info(
            "From here on it cannot be cancelled. The site is asked at {url}.", url=url or tr("no address")
        )
        self.reporter.cancellation.close()
        self._probe = Probe(url, self._settings.activation_host)
        with self._probe.going():
            for service in services:
                with self.reporter.stage(f"restart {service}") as remark, self._reverted_if_not_good(service):
                    remark.note(self._restart(self.config.services[service]))
            for service, container, ends in self._new:
                # Side by side, as each has run for some seconds by now.
                with self._reverted_if_not_good(service):
                    self._wait(service, container, ends=ends, steady=LONG_STEADY)
            if self._is_silent():
                self._revert(services[-1], tr("All containers run, but the site does not answer at {url}.", url=url))
        return self.journal.services

    @contextmanager
    def _reverted_if_not_good(self, service: str) -> Iterator[None]:
        try:
            yield
        except RestartError:
            raise
        except GovmaError as error:
            # Before the container is removed.
            state_dir, project = self._settings.state_dir, self.project.name
            last_words = keep_last_words(self._client, project, service, state_dir, self.mask)
            self._revert(service, f"{error}{last_words}")

    def _restart(self, service: ServiceConfig) -> str:
        """Have compose bring up one service; return what its containers came to, EngineError when that is not good."""
        before = look(self._client, self.project.name).of(service.name)
        untouched = self.journal.changes
        changes = [Change(service.name, each.id, each.name, well=runs_well(each)) for each in before]
        self.journal.changes = [*untouched, *(changes or [Change(service.name)])]
        self.journal.write()
        execute(self.project, [*_UP, service.name], self.reporter, _UP_SECONDS)
        containers = look(self._client, self.project.name).of(service.name)
        if _same(before, containers) and before:
            # Version 2 of compose cannot tell the hash of what shares something with another container.
            self.journal.changes = untouched
            return tr("nothing differs")
        if not service.replicas:
            return tr("none is wanted")
        # What did its work and ended before may do so again.
        ends = not any(each.running for each in before) and service.restart.partition(":")[0] in ("no", "on-failure")
        new = [(service.name, container, ends) for container in [each.id for each in containers] or [""]]
        self._new += new
        results = [self._wait(name, container, ends=ends) for name, container, ends in new]
        return results[0]

    def _wait(self, service: str, container: str, *, ends: bool, steady: float = STEADY) -> str:
        timeout = self._settings.services_up_timeout
        return wait_until_good(self._client, service, container, timeout, ends=ends, steady=steady)

    def _is_silent(self) -> bool:
        return self._probe.answered and not self._probe.answers(self._settings.services_up_timeout)

    def _revert(self, service: str, why: str) -> None:
        """Put everything back while the site is still asked, and raise the RestartError that says so."""
        self.reporter.error(why)
        with self.reporter.stage("put back"):
            restoration = self.put_back(self.journal)
            is_silent = self._is_silent()
            advice = tr(" `govma-console services log {service}` shows what a container says.", service=service)
            if restoration.problems:
                state = tr("Not all of what was before is back; see the log")
                advice = tr(" Put that right; the next `govma-console services up` brings back the rest first.")
            elif restoration.final:
                state = tr("Not all of what was before is back; see the log")
            elif is_silent:
                state = tr("The former containers are back, but the site does not answer as it did before")
            else:
                state = (
                    tr("The former containers are back") if restoration.touched else tr("The containers run as before")
                )
                advice = ""
            error = RestartError(f"{why} {state}; {self._downtime(is_silent=is_silent)}.{advice}")
            if advice:
                raise error
        raise error

    @contextmanager
    def put_back_if_it_fails(self) -> Iterator[None]:
        """Undo what was prepared when the block does not get to its end, whatever the reason."""
        try:
            yield
        except RestartError:
            raise
        except BaseException as error:
            if self.journal.path.exists():
                is_whole = self.put_back(self.journal).whole
                if is_whole and isinstance(error, RunCancelled | GovmaError):
                    self.reporter.info("What was prepared has been undone; the containers run as before.")
            raise

    def outcome(self, changed: Sequence[str], state: ProjectState) -> Outcome:
        """Write down what the images were built from, and say what was done."""
        services = [self.config.services[name] for name in changed or self.names]
        images = [state.tagged(service.image) for service in services if service.builds]
        note_built(self._settings, images, self.reporter)
        if not changed:
            return Outcome(tr("Nothing to do: all containers are as the compose file wants them."))
        silent = round(self._probe.silent, 3) if self._probe.answered else None
        details: dict[str, Any] = {"services": list(changed), "seconds_without_answer": silent}
        message = tr("Now as in the compose file: {changed}; ", changed=", ".join(changed)) + f"{self._downtime()}."
        self.reporter.info(message)
        return Outcome(self.mask(message), details=details)

    def _downtime(self, *, is_silent: bool = False) -> str:
        probe = self._probe
        if not probe.url:
            return tr("whether the site answered meanwhile is not known (services.probe_url)")
        if not probe.answered:
            return tr("the site did not answer at {url} before, either", url=probe.url)
        if is_silent:
            return tr("the site still does not answer, for {silent:.2f} s by now", silent=probe.silent)
        return tr("the site did not answer for {silent:.2f} s", silent=probe.silent)


def _same(before: Sequence[Container], after: Sequence[Container]) -> bool:
    """Tell whether these are the same containers, which ran all the time."""
    lives = [{(each.id, each.started) for each in containers} for containers in (before, after)]
    return lives[0] == lives[1] and all(each.running for each in (*before, *after))
