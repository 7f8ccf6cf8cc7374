"""Restart of containers: images are built while the site runs, then only what changed is exchanged, one by one.

What is not good is put back: the container that ran before, its image's name, the commit of prod-env.
"""

from __future__ import annotations

from collections.abc import Sequence

from govma_core.engine.api import connected
from govma_core.errors import EngineError, PreflightError, UsageError
from govma_core.language import counted, tr
from govma_core.operations.context import Context, Outcome
from govma_core.operations.prod_env import opened
from govma_core.operations.services_restart import Restart
from govma_core.operations.services_sources import live_commit
from govma_core.services.compose import Question, execute, require_all_set, require_program
from govma_core.services.journal import read_journal
from govma_core.services.project import Project, find_project
from govma_core.services.running import look
from govma_core.services.secrets import whole_mask
from govma_core.services.storage import mounted, stores
from govma_core.services.wanted import WantedProject, read_config

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
