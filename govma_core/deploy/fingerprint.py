"""Whether a deploy would make anything new: the fingerprint of what it would build, beside that of the live version."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from govma_core.building import work_dir
from govma_core.context import Context
from govma_core.deploy.asset_stage import prepare_builder
from govma_core.deploy.commits import Commit
from govma_core.deploy.source import Checkout
from govma_core.fs.permissions import sha256_of
from govma_core.settings import Settings
from govma_core.text.language import tr
from govma_core.versions.manifest import Fingerprint, ManifestStore

if TYPE_CHECKING:
    from govma_core.building.builder import Builder


def commands_sha256(settings: Settings) -> str:
    """Return the sha256 of the commands that build the assets, and of what build.steps tells of them."""
    parts = [*settings.all_build_commands]
    if settings.build_steps:
        parts.append(json.dumps([step.plain() for step in settings.build_steps], sort_keys=True))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def planned_fingerprint(settings: Settings, commit: str, builder_id: str = "") -> Fingerprint:
    """Return that of the version that a deploy of a commit would make now; '' for what this user cannot read."""
    return Fingerprint(
        commit,
        sha256_of(settings.ee_path),
        sha256_of(settings.themes_path),
        sha256_of(settings.env_file),
        f"{settings.builder}:{builder_id}" if builder_id else "",
        commands_sha256(settings),
    )


def compare_with_live(context: Context, planned: Fingerprint) -> tuple[str, list[str]]:
    """Return the live version when it was made from the same commit ('' otherwise), and what else it was made from."""
    live = context.versions.pointer().version or ""
    manifest = ManifestStore(context.settings.state_dir).read(live) if live else None
    if manifest is None or manifest.commit != planned.commit:
        return "", []
    return live, manifest.fingerprint.differences(planned)


def live_twin(context: Context, builder: Builder, checkout: Checkout, commit: Commit) -> str:
    """Return the live version when a deploy of the commit would be made from the same; '' otherwise."""
    if not compare_with_live(context, Fingerprint(commit.sha))[0]:
        return ""
    with context.reporter.stage("compare") as remark:
        settings = context.settings
        with work_dir.emptied(settings.work_dir, settings.state_dir) as work_fd:
            checkout.lay_out(commit, work_fd, context.build_owner, settings.builder_context)
            builder_id = prepare_builder(context, builder, work_fd)
        live, differences = compare_with_live(context, planned_fingerprint(settings, commit.sha, builder_id))
        if differences:
            remark.note("{live} was made with another {parts}", live=live, parts=", ".join(differences))
            return ""
        context.reporter.info(sentence(live, commit.sha))
    return live


def sentence(live: str, commit: str) -> str:
    """Say that a deploy of this commit makes nothing new."""
    return tr("nothing new: {version} is live with {commit}", version=live, commit=commit[:9])
