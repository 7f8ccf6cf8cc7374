"""Builds the live version's assets again, beside the site, and compares them with what is recorded of its steps.

What no watch sees (the time, the network, the environment) can make a recorded result wrong; this finds it.
"""

from __future__ import annotations

from contextlib import closing

from govma_core import hooks
from govma_core.building import work_dir
from govma_core.building.builder import make_builder
from govma_core.context import Context, Outcome
from govma_core.deploy import asset_stage, directories, source
from govma_core.deploy.source import Checkout
from govma_core.deploy.step_records import listed
from govma_core.errors import BuildError, PreflightError, RefusedError
from govma_core.text.language import tr
from govma_core.versions.manifest import ManifestStore


def run(context: Context) -> Outcome:
    """Run every step on the live version's commit; BuildError for what is recorded and differs, which is dropped.

    RefusedError when the commit is not known, or nothing can be recorded.
    """
    settings = context.settings
    live = context.versions.pointer().version or ""
    manifest = ManifestStore(settings.state_dir).read(live) if live else None
    if manifest is None:
        raise RefusedError("It is not known which commit is live, so there is nothing to build again.")
    if not settings.asset_inputs:
        raise RefusedError("The asset cache is off (asset_inputs is empty), so there is nothing to compare with.")
    builder = make_builder(settings)
    with context.reporter.stage("preflight"):
        source.recover(settings, context.reporter)
        problems = [
            *source.preflight(settings, context.reporter),
            *(finding.sentence() for finding in directories.examine(settings) if finding.stops),
            *builder.preflight(),
        ]
        if problems:
            raise PreflightError(problems)
        builder.remove_leftovers(context.reporter)
        work_dir.remove_staging(settings.work_dir, context.reporter)
    with closing(Checkout(settings, context.reporter)) as checkout:
        commit = checkout.commit(manifest.commit)
        context.about.version, context.about.commit = live, commit.sha
        with work_dir.emptied(settings.work_dir, settings.state_dir) as work_fd:
            with context.reporter.stage("workdir") as remark:
                remark.note("{files} files", files=checkout.lay_out(commit, work_fd, context.build_owner).count)
            variables = hooks.variables(context, commit=commit.sha)
            hooks.before(context, "pre-build", variables | {"GOVMA_WORK_DIR": str(settings.work_dir)})
            compared = asset_stage.compare_with_recorded(context, builder, work_fd)
    different = [name for name, paths in compared.items() if paths]
    if different:
        raise BuildError(
            "{steps} of {version} made something else than is recorded, which is dropped now: {paths}. The next deploy "
            "builds it. A step whose result hangs on the time, the network or the machine needs `inputs = false`.",
            steps=", ".join(different),
            version=live,
            paths=listed([path for name in different for path in compared[name] or ()]),
        )
    unrecorded = [name for name, paths in compared.items() if paths is None]
    if len(unrecorded) == len(compared):
        message = tr("Nothing is recorded of the build of {version}, so nothing was compared.", version=live)
        return Outcome(message, live, live, commit.sha)
    if unrecorded:
        context.reporter.warning(
            "Not compared, as nothing is recorded on these files: {steps}.", steps=", ".join(unrecorded)
        )
    message = tr("What is recorded is what the build of {version} makes.", version=live)
    return Outcome(message, live, live, commit.sha)
