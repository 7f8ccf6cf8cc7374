"""Everything a deploy needs, looked at before it begins; every problem is said, not the first one."""

from __future__ import annotations

import os

from govma_core.building.builder import Builder
from govma_core.context import Context
from govma_core.deploy import env_file, exposed_paths, free_space, requirements, source, tarball
from govma_core.errors import PreflightError
from govma_core.promotion import rehearsal
from govma_core.text.language import tr
from govma_core.versions.store import version_name


def check(context: Context, builder: Builder, *, promote: bool, rehearse: bool) -> None:
    """Raise PreflightError with a sentence for each problem; warn about what does not stand in the way."""
    settings = context.settings
    open_ways = exposed_paths.ways(settings)
    problems = [
        *source.preflight(settings, context.reporter),
        *(found.sentence() for found in requirements.examine(settings) if found.stops),
        *tarball.preflight(settings.ee_path, tr("ee_tarball in vendor_dir")),
        *tarball.preflight(settings.themes_path, tr("themes_tarball in vendor_dir")),
        *env_file.preflight(settings.env_file),
        *exposed_paths.refusals(settings, open_ways),
        *builder.preflight(),
        *(rehearsal.preflight(settings) if rehearse else ()),
    ]
    if settings.versions_dir.is_dir():
        problems += _pointer(context, promote=promote)
        problems += free_space.problems(context)
    if problems:
        raise PreflightError(problems)
    if said := exposed_paths.warning(open_ways):
        context.reporter.warning(said)


def _pointer(context: Context, *, promote: bool) -> list[str]:
    try:
        pointer = context.versions.pointer()
        name = version_name(context.local_start)
        taken = os.path.lexists(context.settings.versions_dir / name)
    except PreflightError as error:
        return [str(error)]
    problems = []
    if taken:
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
