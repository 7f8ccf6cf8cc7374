"""Looks at everything that a deploy needs before it begins; reports every problem, not the first one alone."""

from __future__ import annotations

import os

from govma_core import hooks
from govma_core.building.builder import Builder
from govma_core.context import Context
from govma_core.deploy import directories, exposed_paths, free_space, source, tarball
from govma_core.errors import PreflightError
from govma_core.promotion import rehearsal
from govma_core.text.language import tr
from govma_core.versions import env_file
from govma_core.versions.store import version_name


def check(context: Context, builder: Builder, *, promote: bool, rehearse: bool) -> None:
    """Raise PreflightError with a sentence for each problem; warn about what does not stand in the way."""
    settings = context.settings
    exposed = exposed_paths.find(settings)
    problems = [
        *source.preflight(settings, context.reporter),
        *(finding.sentence() for finding in directories.examine(settings) if finding.stops),
        *tarball.preflight(settings.ee_path, tr("ee_tarball in vendor_dir")),
        *tarball.preflight(settings.themes_path, tr("themes_tarball in vendor_dir")),
        *env_file.preflight(settings.env_file),
        *exposed_paths.refusals(settings, exposed),
        *builder.preflight(),
        *(rehearsal.preflight(settings) if rehearse else ()),
    ]
    if settings.versions_dir.is_dir():
        problems += _pointer(context, promote=promote)
        problems += free_space.problems(context)
    if problems:
        raise PreflightError(problems)
    if warning := exposed_paths.warning(exposed):
        context.reporter.warning(warning)
    for sentence in hooks.never_run(settings):
        context.reporter.warning(f"{sentence}.")


def _pointer(context: Context, *, promote: bool) -> list[str]:
    try:
        pointer = context.versions.pointer()
        name = version_name(context.local_start)
        name_exists = os.path.lexists(context.settings.versions_dir / name)
    except PreflightError as error:
        return [str(error)]
    problems = []
    if name_exists:
        problems.append(
            tr(
                "There is already something called {name} in {versions_dir}. Try again.",
                name=name,
                versions_dir=context.settings.versions_dir,
            )
        )
    if promote and pointer.blocks:
        problems.append(pointer.problem)
    elif promote and pointer.foreign:
        problems.append(
            tr(
                "{problem} Somebody must have set it: `govma-console promote VERSION` points it back; "
                "or remove the link, then deploy.",
                problem=pointer.problem,
            )
        )
    elif pointer.problem:
        context.reporter.warning(pointer.problem)
    return problems
