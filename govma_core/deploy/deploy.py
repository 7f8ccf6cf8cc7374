"""Deploy: a commit becomes a version, and the version becomes the live one."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import Any

from govma_core import hooks
from govma_core.building import work_dir
from govma_core.building.builder import Builder, make_builder
from govma_core.context import Context, Outcome
from govma_core.deploy import env_file, ownership, preflight, source, uploads
from govma_core.deploy.asset_stage import AssetStage
from govma_core.deploy.hold_gate import Gate
from govma_core.deploy.source import Checkout, Commit
from govma_core.deploy.vendor import Unpacking, merge, sweep_staging, unpacking
from govma_core.disk import link_new_version
from govma_core.errors import BuildError, GovmaError, RefusedError, RunCancelled
from govma_core.fs import safefs
from govma_core.hooks import variables
from govma_core.promotion import rehearsal
from govma_core.promotion.go_live import go_live
from govma_core.reporting import StageRemark
from govma_core.services.source_drift import tell_due
from govma_core.text.language import tr
from govma_core.versions.contents import ContentsStore
from govma_core.versions.manifest import Manifest, ManifestStore
from govma_core.versions.publish import publish, require_free
from govma_core.versions.remove import warn_of_leftover
from govma_core.versions.store import version_name


def after_deploy(context: Context) -> dict[str, Any]:
    """Prune and dedupe when the settings say so, then bring the account up to date; give what they came to, by name.

    A failure is a warning: the new version is live whatever comes after it.
    """
    settings = context.settings
    found: dict[str, Any] = {}
    if settings.prune_after_deploy:
        _attempt(context, "prune", _prune, found)
    if settings.dedupe == "all":
        _attempt(context, "dedupe", _dedupe, found)
    _attempt(context, "accounting", _account, {})
    return found


def _attempt(context: Context, name: str, work: Callable[[Context], dict[str, Any]], found: dict[str, Any]) -> None:
    try:
        found[name] = work(context)
    except RunCancelled:
        raise
    except Exception as error:
        # Also a fault of this program: a live deploy must not be told as a failed one.
        kind = "" if isinstance(error, GovmaError | OSError) else f"{type(error).__name__}: "
        context.reporter.warning(
            tr("The new version is live, but {name} after it failed: {kind}{error}", name=name, kind=kind, error=error)
        )


def _prune(context: Context) -> dict[str, Any]:
    from govma_core.prune import prune

    with context.reporter.stage("prune") as remark:
        plan = prune.plan(context)
        prune.tell(context, plan)
        removed = prune.carry_out(context, plan)
        remark.note(removed.sentence())
        return prune.details(plan, removed)


def _dedupe(context: Context) -> dict[str, Any]:
    from govma_core.disk import dedupe

    return dict(dedupe.run(context).details)


def _account(context: Context) -> dict[str, Any]:
    from govma_core.disk import usage

    usage.refresh(context)
    return {}


BANNER = "successfully deployed"

_PLACES = {"ee": "system", "themes": "html"}
"""The top folder of each vendor tarball, and the directory of a version in which it lies."""


def run(
    context: Context,
    *,
    ref: str | None = None,
    rebuild: bool = False,
    promote: bool = True,
    rehearse: bool = True,
    force: bool = False,
    commit_shown: str | None = None,
) -> Outcome:
    """Build the remote's branch (or `ref`: branch, tag, sha) as a new version, and promote it unless told not to.

    `commit_shown` is the sha that somebody confirmed; RefusedError when another one would be built by now. HeldError
    while deploys, or those of the commit, are held, unless it is forced.
    """
    settings, reporter = context.settings, context.reporter
    if os.geteuid() != 0:
        reporter.info(tr("Not running as root: owners of files are left as they are."))
    context = _in_a_second_of_its_own(context)
    builder, gate = make_builder(settings), Gate(context, promote=promote, force=force)
    with reporter.stage("preflight"):
        gate.begin()
        source.recover(settings, reporter)
        preflight.check(context, builder, promote=promote, rehearse=rehearse)
        _clear_work_dir(context, builder)
    with closing(Checkout(settings, reporter)) as checkout:
        with reporter.stage("source") as remark:
            commit = checkout.update(ref)
            context.about.commit = commit.sha
            context.about.version_before = context.versions.pointer().version or ""
            if commit_shown not in (None, commit.sha):
                raise RefusedError(
                    tr(
                        "{commit_shown} was to be deployed, but {short} ({subject}) has been pushed since. "
                        "Look at what is pending, and deploy again.",
                        commit_shown=commit_shown[:9] if commit_shown else "",
                        short=commit.short,
                        subject=commit.subject,
                    )
                )
            gate.known(checkout, commit)
            remark.note(f"{commit.short} {commit.subject}")
        tell_due(context, commit.sha)
        with ExitStack() as stack:
            with reporter.stage("workdir") as remark:
                work_fd = stack.enter_context(work_dir.emptied(settings.work_dir, settings.state_dir))
                tarballs = {"ee": settings.ee_path, "themes": settings.themes_path}
                earlier = stack.enter_context(link_new_version.earlier_files(context, work_fd, _PLACES))
                vendor = stack.enter_context(
                    unpacking(settings.work_dir, work_fd, tarballs, context.web_owner, earlier)
                )
                inputs = _fill(context, checkout, commit, work_fd, remark)
            told = variables(context, commit=commit.sha)
            hooks.before(context, "pre-build", told | {"GOVMA_WORK_DIR": str(settings.work_dir)})
            with reporter.stage("assets") as remark:
                stage = AssetStage(context, builder, checkout, commit, inputs)
                assets = stage.execute(work_fd, remark, rebuild=rebuild)
            manifest = _new_manifest(context, commit, ref, assets.builder_id, assets.origin)
            manifest = _assemble(context, work_fd, vendor, dataclasses.replace(manifest, forced=gate.overridden))
            _publish(context, work_fd, manifest)
    context.about.version = manifest.version
    rehearsal.rehearse(context, manifest.version, skip=not rehearse)
    if not promote:
        return Outcome(
            tr("{version} is published, and not live.", version=manifest.version), manifest.version, "", commit.sha
        )
    gate.last_moment(manifest.version)
    done = go_live(
        context,
        manifest.version,
        "deploy",
        commit.sha,
        last_moment=lambda: gate.last_moment(manifest.version),
        behind=gate.passed,
    )
    before = done.previous.version or ""
    reporter.info(f"=== {manifest.version} {BANNER} ===")
    details = after_deploy(context)
    return Outcome(tr("{version} is live.", version=manifest.version), manifest.version, before, commit.sha, details)


def _in_a_second_of_its_own(context: Context) -> Context:
    """Begin a second later when a deploy that began in this very second has taken the name that this one would give."""
    path = context.settings.versions_dir / version_name(context.local_start)
    if os.path.lexists(path) and abs(time.time() - context.started) < 1:
        time.sleep(1)
        return dataclasses.replace(context, started=time.time())
    return context


def _clear_work_dir(context: Context, builder: Builder) -> None:
    """Remove what a killed deploy left at work in the work dir and beside it; the rest is gone (see runs/recovery)."""
    # What builds first: it could still be writing.
    builder.remove_leftovers(context.reporter)
    for path, resisting in sweep_staging(context.settings.work_dir).items():
        what = tr("vendor tarballs that an interrupted run was unpacking")
        warn_of_leftover(context.reporter, path, what, resisting)


def _fill(context: Context, checkout: Checkout, commit: Commit, work_fd: int, remark: StageRemark) -> list[str] | None:
    """Copy the commit's files to the work dir; give the inputs of its assets, None while the asset cache is off."""
    settings = context.settings
    with checkout.at(commit):
        checkout.require_layout()
        copied = work_dir.fill(
            work_fd,
            settings.source_dir,
            context.build_owner,
            lambda files: context.reporter.progress("workdir", files, 0, "files"),
        )
        remark.note(tr("{files} files", files=copied.files))
        return checkout.inputs(settings.asset_inputs) if settings.asset_inputs else None


def _assemble(context: Context, work_fd: int, vendor: Unpacking, manifest: Manifest) -> Manifest:
    """Put the version together from the built tree: env, ownership, vendor, uploads."""
    settings, reporter = context.settings, context.reporter
    with safefs.opened(work_fd, "data") as data:
        _require_parts(data)
        with reporter.stage("env"):
            env_hash = env_file.install(settings.env_file, data)
        with reporter.stage("ownership") as remark:
            owned = ownership.hand_over(data, context.web_owner, settings.build_uid)
            remark.note(tr("{files} files", files=owned.files) if context.web_owner else tr("left as they are"))
        # What comes from the tarballs was never in the build's hands, and may be linked to the live version's files:
        # it is not handed over.
        with reporter.stage("vendor") as remark:
            unpacked = vendor.result()
            for top, place in _PLACES.items():
                with safefs.opened(data, place) as target:
                    merge(vendor.staged_fd, target, top)
            remark.note(tr("{sum} files", sum=sum(found.files for found in unpacked.values())))
        with reporter.stage("uploads"), safefs.opened(data, "html") as html:
            _uploads(context, html)
    return dataclasses.replace(
        manifest,
        ee_sha256=unpacked["ee"].sha256,
        themes_sha256=unpacked["themes"].sha256,
        env_sha256=env_hash,
    )


def _require_parts(data_fd: int) -> None:
    """Raise BuildError when the build took away what a version cannot be without."""
    for name in ("html", "system"):
        if not safefs.is_directory(data_fd, name):
            raise BuildError(
                tr("The build left no directory data/{name}. Look at the build's commands and its log.", name=name)
            )


def _uploads(context: Context, html_fd: int) -> None:
    """Move what the commit brings as uploads to the persistent directories, and put links in their place."""
    settings = context.settings
    for name, target in (("uploads", settings.upload_dir), ("images", settings.image_dir)):
        if target is None or (name == "images" and not target.exists()):
            context.reporter.info(
                tr(
                    "image_dir ({target}) is not there; {name} stays in the version.",
                    target=target or tr("unset"),
                    name=name,
                )
            )
            continue
        replaced = settings.state_dir / "replaced" / context.run_id / name
        uploads.synchronise(
            html_fd,
            name,
            target,
            policy=settings.uploads_policy,
            kept_dir=replaced,
            owner=context.web_owner,
            reporter=context.reporter,
        )
        uploads.replace_by_link(html_fd, name, f"../../../{name}", context.web_owner)


def _publish(context: Context, work_fd: int, manifest: Manifest) -> None:
    settings = context.settings
    with context.reporter.stage("publish") as remark, safefs.opened_root(settings.versions_dir) as versions:
        check = context.reporter.cancellation.check
        require_free(versions, manifest.version)
        manifests = ManifestStore(settings.state_dir)

        def prepare(tree: int) -> None:
            born = link_new_version.link_to_earlier(context, manifest.version, tree)
            # The manifest first: a version of ours under its official name always has one.
            manifests.write(
                dataclasses.replace(
                    manifest, finished=time.time(), result="published", files=born.files, bytes=born.bytes
                )
            )

        try:
            copied = publish(
                work_fd,
                "data",
                versions,
                manifest.version,
                context.web_owner,
                check,
                prepare,
            )
        except BaseException:
            # An fsync that fails after the rename does not undo it.
            if safefs.lstat(versions, manifest.version) is None:
                manifests.discard(manifest.version)
                ContentsStore(settings.state_dir).discard(manifest.version)
            raise
        remark.note(manifest.version + (tr(" (copied: the work dir is on another file system)") if copied else ""))


def _new_manifest(context: Context, commit: Commit, ref: str | None, builder_id: str, assets: str) -> Manifest:
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
        builder_id=builder_id,
        assets=assets,
    )
