"""Deploy: a commit becomes a version, and the version becomes the live one. `run` is its stages, from top to bottom."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

from govma_core import hooks
from govma_core.building import work_dir
from govma_core.building.builder import Builder, make_builder
from govma_core.context import Context, Outcome, commit_of
from govma_core.deploy import directories, fingerprint, ownership, preflight, source, uploads, vendor
from govma_core.deploy.asset_stage import Assets, make_assets
from govma_core.deploy.commits import Commit
from govma_core.deploy.hold_gate import Gate
from govma_core.deploy.source import Checkout
from govma_core.disk import dedupe, link_new_version, usage
from govma_core.errors import GovmaError, RunCancelled
from govma_core.fs import safefs
from govma_core.promotion import rehearsal
from govma_core.promotion.go_live import go_live
from govma_core.prune import prune
from govma_core.services.source_drift import tell_due
from govma_core.text.language import tr
from govma_core.versions import env_file
from govma_core.versions.contents import ContentsStore, FileRecord
from govma_core.versions.manifest import Manifest, ManifestStore
from govma_core.versions.publish import publish, require_free
from govma_core.versions.store import version_name

BANNER = "successfully deployed"


def run(
    context: Context,
    *,
    ref: str | None = None,
    rebuild: bool = False,
    promote: bool = True,
    rehearse: bool = True,
    force: bool = False,
    if_new: bool = False,
    commit_shown: str | None = None,
) -> Outcome:
    """Build the remote's branch (or `ref`: branch, tag, sha) as a new version, and promote it unless told not to.

    `commit_shown` is the sha that the operator confirmed; RefusedError when another one would be built by now.
    HeldError while deploys, or those of the commit, are held, unless forced. `if_new` makes nothing twice.
    """
    if os.geteuid() != 0:
        context.reporter.info("Not running as root: owners of files are left as they are.")
    context = _start_in_a_free_second(context)
    builder, gate = make_builder(context.settings), Gate(context, promote=promote, force=force)
    with context.reporter.stage("preflight"):
        gate.require_open()
        source.recover(context.settings, context.reporter)
        # First, because they may take the room that is asked for.
        obstacle = _clear_leftovers(context, builder)
        preflight.check(context, builder, promote=promote, rehearse=rehearse)
        if obstacle is not None:
            raise obstacle
    with closing(Checkout(context.settings, context.reporter)) as checkout:
        commit = _update_checkout(context, checkout, gate, ref, commit_shown)
        tell_due(context, commit.sha)
        if if_new and not rebuild and (live := fingerprint.live_twin(context, builder, checkout, commit)):
            return Outcome(fingerprint.sentence(live, commit.sha), live, live, commit.sha, state="unchanged")
        with _filled_work_dir(context, checkout, commit) as (work_fd, unpacking):
            variables = hooks.variables(context, commit=commit.sha)
            hooks.before(context, "pre-build", variables | {"GOVMA_WORK_DIR": str(context.settings.work_dir)})
            assets = make_assets(context, builder, work_fd, rebuild=rebuild)
            # Of these, what is not among the persistent uploads any more was deleted there.
            uploads_before = checkout.files(commit_of(context, context.about.version_before), uploads.FOLDER)
            manifest = _new_manifest(context, commit, ref, assets, gate)
            manifest, from_tarballs = _assemble(context, work_fd, unpacking, manifest, uploads_before)
            _publish(context, work_fd, manifest, from_tarballs)
    version = context.about.version = manifest.version
    rehearsal.rehearse(context, version, skip=not rehearse)
    if not promote:
        return Outcome(tr("{version} is published, and not live.", version=version), version, "", commit.sha)
    gate.require_open_still(version)
    switch = go_live(
        context,
        version,
        "deploy",
        commit.sha,
        last_moment=lambda: gate.require_open_still(version),
        behind=gate.end_holds,
    )
    context.reporter.info(f"=== {version} {BANNER} ===")
    details = _tidy_up(context)
    return Outcome(
        tr("{version} is live.", version=version), version, switch.previous.version or "", commit.sha, details
    )


def _clear_leftovers(context: Context, builder: Builder) -> GovmaError | OSError | None:
    """Remove what a killed run left; return the error where that cannot be done.

    Nothing is touched while a directory is not what it should be: the preflight tells which.
    """
    if directories.refusal(context.settings):
        return None
    try:
        # What builds first: it could still be writing.
        builder.remove_leftovers(context.reporter)
        rehearsal.clear_leftovers(context)
        work_dir.remove_staging(context.settings.work_dir, context.reporter)
    except (GovmaError, OSError) as error:
        return error
    return None


def _start_in_a_free_second(context: Context) -> Context:
    """Begin a second later when a deploy that began in this very second has taken the name that this one would give."""
    path = context.settings.versions_dir / version_name(context.local_start)
    if os.path.lexists(path) and abs(time.time() - context.started) < 1:
        time.sleep(1)
        return dataclasses.replace(context, started=time.time())
    return context


def _update_checkout(
    context: Context, checkout: Checkout, gate: Gate, ref: str | None, confirmed_sha: str | None
) -> Commit:
    """Fetch, and return the commit to deploy; refuse another one than was confirmed, and one that is held."""
    with context.reporter.stage("source") as remark:
        checkout.fetch()
        next_deploy = checkout.next_deploy(ref)
        context.about.commit = next_deploy.target.sha
        context.about.version_before = context.versions.pointer().version or ""
        commit = next_deploy.require(confirmed_sha)
        gate.require_commit(checkout, commit)
        if next_deploy.warning:
            context.reporter.warning(next_deploy.warning)
        if ref is None:
            checkout.follow(commit)
        remark.note(f"{commit.short} {commit.subject}")
    return commit


@contextmanager
def _filled_work_dir(context: Context, checkout: Checkout, commit: Commit) -> Iterator[tuple[int, vendor.Unpacking]]:
    """Fill the emptied work dir with the commit's files; vendor tarballs are unpacked meanwhile.

    Yield the opened work dir, and the process that unpacks.
    """
    settings, reporter = context.settings, context.reporter
    with ExitStack() as stack:
        with reporter.stage("workdir") as remark:
            work_fd = stack.enter_context(work_dir.emptied(settings.work_dir, settings.state_dir))
            tarballs = {"ee": settings.ee_path, "themes": settings.themes_path}
            earlier = stack.enter_context(link_new_version.earlier_files(context, work_fd, vendor.FOLDERS))
            unpacking = stack.enter_context(
                vendor.unpacking(
                    settings.work_dir,
                    work_fd,
                    tarballs,
                    context.web_owner,
                    ContentsStore(settings.state_dir, "tarballs"),
                    earlier,
                )
            )
            files = checkout.lay_out(commit, work_fd, context.build_owner)
            remark.note("{files} files", files=files.count)
        yield work_fd, unpacking


def _new_manifest(context: Context, commit: Commit, ref: str | None, assets: Assets, gate: Gate) -> Manifest:
    return Manifest(
        version=version_name(context.local_start),
        run=context.run_id,
        commit=commit.sha,
        subject=commit.subject,
        author=commit.author,
        committed=commit.committed,
        ref=ref or context.settings.branch,
        by=context.by,
        origin=context.origin,
        started=context.started,
        builder=context.settings.builder,
        builder_id=assets.builder_id,
        commands_sha256=fingerprint.commands_sha256(context.settings),
        assets=assets.origin,
        steps=assets.steps,
        forced=gate.overridden,
    )


def _assemble(
    context: Context, work_fd: int, unpacking: vendor.Unpacking, manifest: Manifest, uploads_before: Collection[str]
) -> tuple[Manifest, dict[str, FileRecord]]:
    """Put the version together from the built tree; return the manifest, and what the tarballs brought."""
    settings, reporter = context.settings, context.reporter
    with safefs.opened(work_fd, "data") as data:
        work_dir.require_parts(data)
        with reporter.stage("env"):
            env_sha256 = env_file.install(settings.env_file, data)
        with reporter.stage("ownership") as remark:
            files = ownership.hand_over(data, context.web_owner, settings.build_uid)
            remark.note(tr("{files} files", files=files) if context.web_owner else tr("left as they are"))
        # What comes from the tarballs was never in the build's hands, and may be linked to the live version's files:
        # it is not handed over.
        with reporter.stage("vendor") as remark:
            unpacked = unpacking.join(data)
            from_tarballs = vendor.files_in_version(unpacked)
            remark.note("{sum} files", sum=len(from_tarballs))
        with reporter.stage("uploads"), safefs.opened(data, "html") as html:
            uploads.move_out(context, html, uploads_before)
    ee, themes = unpacked["ee"].sha256, unpacked["themes"].sha256
    manifest = dataclasses.replace(manifest, ee_sha256=ee, themes_sha256=themes, env_sha256=env_sha256)
    return manifest, from_tarballs


def _publish(context: Context, work_fd: int, manifest: Manifest, known: dict[str, FileRecord]) -> None:
    """Give the version its place and its official name, with its manifest; `known` are files not to be read again."""
    settings = context.settings
    live, differences = fingerprint.compare_with_live(context, manifest.fingerprint)
    if live and not differences:
        context.reporter.info(fingerprint.sentence(live, manifest.commit))
    with context.reporter.stage("publish") as remark, safefs.opened_root(settings.versions_dir) as versions:
        require_free(versions, manifest.version)
        manifests = ManifestStore(settings.state_dir)

        def prepare(tree: int) -> None:
            links = link_new_version.link_to_earlier(context, manifest.version, tree, known)
            # The manifest first: a version of ours under its official name always has one.
            manifests.write(
                dataclasses.replace(
                    manifest, finished=time.time(), result="published", files=links.files, bytes=links.bytes
                )
            )

        try:
            is_copy = publish(
                work_fd,
                "data",
                versions,
                manifest.version,
                context.web_owner,
                context.reporter.cancellation.check,
                prepare,
            )
        except BaseException:
            # An fsync that fails after the rename does not undo it.
            if safefs.lstat(versions, manifest.version) is None:
                manifests.discard(manifest.version)
                ContentsStore(settings.state_dir).discard(manifest.version)
            raise
        remark.note(manifest.version + (tr(" (copied: the work dir is on another file system)") if is_copy else ""))


def _tidy_up(context: Context) -> dict[str, Any]:
    """Prune and dedupe when the settings say so, then bring the account up to date; return their details, by name.

    A failure is a warning: the new version is live whatever comes after it.
    """
    settings = context.settings
    details: dict[str, Any] = {}
    if settings.prune_after_deploy:
        with _failure_as_warning(context, "prune"), context.reporter.stage("prune") as remark:
            plan = prune.plan(context)
            prune.report_plan(context, plan)
            result = prune.carry_out(context, plan)
            remark.note(result.sentence())
            details["prune"] = prune.details(plan, result)
    if settings.dedupe == "all":
        with _failure_as_warning(context, "dedupe"):
            details["dedupe"] = dict(dedupe.run(context).details)
    with _failure_as_warning(context, "accounting"):
        usage.refresh(context)
    return details


@contextmanager
def _failure_as_warning(context: Context, name: str) -> Iterator[None]:
    try:
        yield
    except RunCancelled:
        raise
    except Exception as error:
        # Also a fault of this program: a live deploy must not be told as a failed one.
        kind = "" if isinstance(error, GovmaError | OSError) else f"{type(error).__name__}: "
        context.reporter.warning(
            "The new version is live, but {name} after it failed: {kind}{error}", name=name, kind=kind, error=error
        )
