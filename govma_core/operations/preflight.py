"""Everything a deploy needs, looked at before it begins; every problem is said, not the first one."""

from __future__ import annotations

import os
from pathlib import Path

from govma_core.build import envfile, source, vendor, workdir
from govma_core.build.builder import Builder
from govma_core.errors import PreflightError
from govma_core.operations import rehearsal, space
from govma_core.operations.context import Context
from govma_core.settings import Settings
from govma_core.versions.names import version_name


def check(context: Context, builder: Builder, *, promote: bool, rehearse: bool) -> None:
    """Raise PreflightError with a sentence for each problem; warn about what does not stand in the way."""
    settings = context.settings
    problems = [
        *source.preflight(settings, context.reporter),
        *_directories(settings),
        *vendor.preflight_tarball(settings.ee_path, "ee_tarball in vendor_dir"),
        *vendor.preflight_tarball(settings.themes_path, "themes_tarball in vendor_dir"),
        *envfile.preflight(settings.env_file),
        *workdir.preflight(settings.work_dir, settings.state_dir),
        *builder.preflight(),
        *(rehearsal.preflight(settings) if rehearse else ()),
    ]
    if settings.versions_dir.is_dir():
        problems += _pointer(context, promote=promote)
        problems += space.problems(context)
    if problems:
        raise PreflightError(problems)


def _directories(settings: Settings) -> list[str]:
    problems = []
    places = [("versions_dir", settings.versions_dir), ("upload_dir", settings.upload_dir)]
    if settings.image_dir is not None and os.path.lexists(settings.image_dir):
        places.append(("image_dir", settings.image_dir))
    for name, path in places:
        if not path.is_dir():
            problems.append(f"{name} ({path}) is not there or is no directory. {_creation(path, settings)}")
        elif not os.access(path, os.W_OK | os.X_OK):
            problems.append(f"{name} ({path}) cannot be written by this user. Run as root.")
    if not settings.node_modules_dir.parent.is_dir():
        parent = settings.node_modules_dir.parent
        problems.append(f"node_modules_dir ({settings.node_modules_dir}) cannot be made: create {parent}.")
    return problems


def _creation(path: Path, settings: Settings) -> str:
    return f"Create it: install -d -o {settings.web_uid} -g {settings.web_gid} {path}"


def _pointer(context: Context, *, promote: bool) -> list[str]:
    try:
        pointer = context.versions.pointer()
        name = version_name(context.local_start)
        taken = os.path.lexists(context.settings.versions_dir / name)
    except PreflightError as error:
        return [str(error)]
    problems = []
    if taken:
        problems.append(f"There is already something called {name} in {context.settings.versions_dir}. Try again.")
    if promote and pointer.blocks:
        problems.append(pointer.problem)
    elif promote and pointer.foreign:
        problems.append(
            f"{pointer.problem} Somebody must have set it: `govma-console promote VERSION` points it back; "
            "or remove the link, then deploy."
        )
    elif pointer.problem:
        context.reporter.warning(pointer.problem)
    return problems
