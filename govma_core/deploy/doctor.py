"""The doctor looks at everything that a server needs, and says what is wrong and which command mends it."""

from __future__ import annotations

import difflib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial

from govma_core import hooks
from govma_core.building import node_modules
from govma_core.building.builder import make_builder
from govma_core.config_file import CONFIG_VARIABLE
from govma_core.context import Context
from govma_core.deploy import directories, exposed_paths, free_space, source, tarball
from govma_core.deploy.commit_files import no_inputs
from govma_core.deploy.directories import Finding as Finding
from govma_core.deploy.step_records import unrecorded_sentence
from govma_core.disk.unshare import fits_any
from govma_core.engine.program import missing_helpers
from govma_core.errors import GovmaError, PreflightError, UnsafeTreeError
from govma_core.fs import safefs
from govma_core.promotion import activation, rehearsal
from govma_core.services import programs
from govma_core.services.compose import find_project
from govma_core.settings import Settings
from govma_core.settings.build_steps import AUTO
from govma_core.settings.parse import KEYS
from govma_core.text.language import tr
from govma_core.versions import env_file
from govma_core.versions.manifest import ManifestStore


def examine(context: Context) -> Iterator[Finding]:
    """Yield a finding for each thing that was looked at. Asks the git remote and Docker; changes nothing."""
    settings = context.settings
    yield _rights()
    yield from _variables()
    yield from _programs(settings)
    yield from directories.examine(settings)
    yield from _node_modules(settings)
    yield from _exposed_paths(settings)
    yield from _files(settings)
    yield from _hooks(settings)
    yield from compose_findings(settings)
    yield from _source(context)
    yield from _from_preflight("builder", tr("ready"), make_builder(settings).preflight)
    yield from _assets(context)
    if settings.rehearsed:
        yield from _from_preflight("rehearsal", tr("ready"), lambda: rehearsal.preflight(settings))
    if settings.activated:
        yield from _from_preflight("activation", tr("ready"), lambda: activation.preflight(settings))
    yield _pointer(context)
    yield from _keep_single(context)
    yield from _from_preflight("room", tr("enough for the next deploy"), lambda: free_space.problems(context))


def _rights() -> Finding:
    if os.geteuid() == 0:
        return Finding("user", "ok", "root")
    return Finding(
        "user", "note", tr("not root: owners of files are left as they are, and only this user's runs are seen")
    )


def _variables() -> Iterator[Finding]:
    """Look for variables that are almost one of ours."""
    ours = [CONFIG_VARIABLE, *(key.env for key in KEYS.values() if key.env)]
    for name in sorted(os.environ.keys() - set(ours)):
        near = difflib.get_close_matches(name, ours, n=1, cutoff=0.85) if name.startswith(("GOVMA_", "GOV_MA_")) else ()
        if near:
            sentence = tr("the variable is set and means nothing here; is {near} meant?", near=near[0])
            yield Finding(name, "note", sentence)


def _programs(settings: Settings) -> Iterator[Finding]:
    path = shutil.which("git")
    if path:
        yield Finding("git", "ok", path)
    else:
        yield Finding("git", "wrong", tr("is not installed"), ("apt-get", "install", "git"))
    if settings.builder == "docker":
        config, missing = missing_helpers()
        for name in missing:
            sentence = tr(
                "{config} takes credentials from {name}, which is not installed: no image comes from a registry that "
                "needs them",
                config=config,
                name=name,
            )
            yield Finding("docker", "note", sentence)


def _node_modules(settings: Settings) -> Iterator[Finding]:
    """Look into node_modules_dir as a build does. A preflight does not: it takes as long as there are files."""
    try:
        name = node_modules.foreign(settings.node_modules_dir, settings.build_uid)
    except (OSError, UnsafeTreeError):
        return
    # That the directory itself is another's is a finding of its own, which is easily mended.
    if name not in ("", "."):
        sentence = tr(
            "{path} holds {name!r}, which the build's user (uid {uid}) does not own: the next build sets the "
            "directory aside, and begins with an empty one",
            path=settings.node_modules_dir,
            name=name,
            uid=settings.build_uid,
        )
        yield Finding("node_modules_dir", "note", sentence)


def _exposed_paths(settings: Settings) -> Iterator[Finding]:
    exposed = exposed_paths.find(settings)
    writable_by_build = exposed_paths.writable_by_build(settings, exposed)
    for each in exposed:
        yield Finding("paths", "wrong" if each in writable_by_build else "note", each.sentence(), each.mend)
    if not exposed and os.geteuid() == 0:
        yield Finding("paths", "ok", tr("only root can replace what the settings name"))


def _files(settings: Settings) -> Iterator[Finding]:
    yield from _from_preflight("env_file", str(settings.env_file), lambda: env_file.preflight(settings.env_file))
    try:
        open_to_all = settings.env_file.stat().st_mode & stat.S_IROTH
    except OSError:
        open_to_all = 0
    if open_to_all:
        problem = tr(
            "{env_file} can be read by every local user, and so can its copy in each version",
            env_file=settings.env_file,
        )
        yield Finding("env_file", "note", problem, ("chmod", "o-r", str(settings.env_file)))
    for what, path in (("ee_tarball", settings.ee_path), ("themes_tarball", settings.themes_path)):
        yield from _from_preflight(what, str(path), partial(tarball.preflight, path, what))


def _hooks(settings: Settings) -> Iterator[Finding]:
    yield from (Finding("hooks_dir", "wrong", problem) for problem in hooks.refusals(settings))
    yield from (Finding("hooks_dir", "note", sentence) for sentence in hooks.never_run(settings))


def compose_findings(settings: Settings) -> Iterator[Finding]:
    """Look at the programs for the site's containers, where these are a project of compose."""
    try:
        project = find_project(settings).name
    except PreflightError:
        return
    each_program = [programs.look(path) for path in programs.installed()]
    if not each_program:
        yield Finding("compose", "note", programs.no_program())
        return
    used = programs.best(each_program, programs.maker(project) if len(each_program) > 1 else "")
    for each in each_program:
        if each.problem:
            sentence = tr("{path} does not start: {problem}", path=each.path, problem=each.problem)
            passed_over = tr("; it is passed over") if used else ""
            yield Finding("compose", "note" if used else "wrong", sentence + passed_over)
        elif each is used:
            yield Finding("compose", "ok", tr("{path}, version {version}", path=each.path, version=each.version))


def _source(context: Context) -> Iterator[Finding]:
    settings = context.settings
    if not settings.source_dir.is_dir():
        clone = ("git", "clone", "-b", settings.branch, "REPOSITORY", str(settings.source_dir))
        yield Finding(
            "source_dir",
            "wrong",
            tr("{source_dir} is not there: clone the site to it", source_dir=settings.source_dir),
            clone,
        )
        return
    if os.geteuid() != 0 and settings.source_dir.stat().st_uid == 0:
        note = tr("{path} belongs to root, who deploys here: run the doctor as root", path=settings.source_dir)
        yield Finding("source_dir", "note", note)
        return
    problems = source.preflight(settings, context.reporter)
    if problems:
        yield from (Finding("source_dir", "wrong", problem) for problem in problems)
        return
    yield Finding("source_dir", "ok", tr("{source_dir}, clean", source_dir=settings.source_dir))
    try:
        with closing(source.Checkout(settings, context.reporter)) as checkout:
            patterns = () if settings.asset_inputs == AUTO else settings.asset_inputs
            if unmatched := checkout.unmatched(patterns):
                yield Finding("asset_inputs", "note", no_inputs(unmatched))
            checkout.fetch()
            next_deploy = checkout.next_deploy()
        sentence = tr(
            "{remote}/{branch} is at {short} {subject}",
            remote=settings.remote,
            branch=settings.branch,
            short=next_deploy.target.short,
            subject=next_deploy.target.subject,
        )
        yield Finding("remote", "wrong" if next_deploy.refusal else "ok", next_deploy.refusal or sentence)
        if next_deploy.hold:
            yield Finding("holds", "note", str(next_deploy.hold.error()))
        if next_deploy.warning:
            yield Finding("remote", "note", next_deploy.warning)
    except GovmaError as error:
        yield Finding("remote", "wrong", str(error))


def _assets(context: Context) -> Iterator[Finding]:
    """Say what the last build knows of its steps: which cannot be reused, and what no step is reused for."""
    settings = context.settings
    with suppress(GovmaError, OSError):
        live = context.versions.pointer().version
        manifest = ManifestStore(settings.state_dir).read(live) if live else None
        steps = manifest.steps if manifest else ()
        if settings.asset_inputs:
            for step in steps:
                if step.unrecorded:
                    yield Finding("asset_inputs", "note", unrecorded_sentence(step).rstrip("."))
            return
        seconds = sum(step.seconds for step in steps)
        took = tr(" ({seconds:.0f} s the last time)", seconds=seconds) if seconds else ""
        sentence = tr(
            'every deploy runs the whole build{took}: with asset_inputs = "auto" it would run only the steps whose '
            "files have changed",
            took=took,
        )
        yield Finding("asset_inputs", "note", sentence)


def _pointer(context: Context) -> Finding:
    try:
        pointer = context.versions.pointer()
    except GovmaError as error:
        return Finding("current-version", "wrong", str(error))
    if not pointer.problem:
        return Finding("current-version", "ok", str(pointer.version))
    # On a new server there is none yet.
    return Finding(
        "current-version", "note" if pointer.target is None and not pointer.blocks else "wrong", pointer.problem
    )


def _keep_single(context: Context) -> Iterator[Finding]:
    """Name the globs of the operator's that fit nothing in the live version; the CMS may not have written yet."""
    patterns = [glob for glob in context.settings.keep_single if glob not in KEYS["keep_single"].default]
    with suppress(GovmaError, OSError):
        live = context.versions.pointer().version
        if live is None or not patterns:
            return
        with safefs.opened_root(context.settings.versions_dir) as versions, safefs.opened(versions, live) as version:
            unmatched = [glob for glob in patterns if not fits_any(version, glob)]
        if unmatched:
            sentence = tr("no file of the live version fits {globs}", globs=", ".join(unmatched))
            yield Finding("keep_single", "note", sentence)


def _from_preflight(what: str, good: str, look: Callable[[], list[str]]) -> Iterator[Finding]:
    """Yield the problems of a preflight as findings, or one that all is well."""
    try:
        problems = look()
    except GovmaError as error:
        problems = [str(error)]
    for problem in problems:
        yield Finding(what, "wrong", problem)
    if not problems:
        yield Finding(what, "ok", good)
