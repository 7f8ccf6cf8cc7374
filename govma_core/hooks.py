"""The operators' own programs at four moments of a run: pre-build, pre-promote, post-promote, on-failure."""

from __future__ import annotations

import difflib
import os
import shlex
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, get_args

from govma_core.context import Context
from govma_core.errors import CommandError, HookError
from govma_core.process.shell import execute
from govma_core.settings import Settings
from govma_core.text.language import tr

Moment = Literal["pre-build", "pre-promote", "post-promote", "on-failure"]
MOMENTS: tuple[Moment, ...] = get_args(Moment)


def refusals(settings: Settings) -> Iterator[str]:
    """Yield a sentence for each hook that is there and would not be run."""
    directory = settings.hooks_dir
    for moment in MOMENTS if directory is not None and directory.is_dir() else ():
        try:
            _program(directory, moment)
        except HookError as error:
            yield str(error)


def never_run(settings: Settings) -> Iterator[str]:
    """Yield a sentence for each entry of hooks_dir that may be meant as a hook, and whose name is none."""
    directory = settings.hooks_dir
    if directory is None:
        return
    try:
        names = sorted(os.listdir(directory))
    except OSError as error:
        if not isinstance(error, FileNotFoundError) or directory != Settings().hooks_dir:
            yield tr(
                "hooks_dir ({directory}) cannot be looked at: {strerror}", directory=directory, strerror=error.strerror
            )
        return
    for name in names:
        near = difflib.get_close_matches(name, MOMENTS, n=1)
        is_program = (directory / name).is_file() and os.access(directory / name, os.X_OK)
        if name in MOMENTS or name.startswith(".") or not (near or is_program):
            continue
        yield tr(
            "{path} is never run: there are the hooks {moments}{hint}",
            path=directory / name,
            moments=", ".join(MOMENTS),
            hint=tr("; is {near} meant?", near=near[0]) if near else "",
        )


def before(context: Context, moment: Moment, environment: Mapping[str, str]) -> None:
    """Run the hook of this moment, if there is one; HookError stops the run when it fails or cannot be run."""
    path = _program(context.settings.hooks_dir, moment)
    if path is None:
        return
    with context.reporter.stage(moment):
        try:
            code = _run(context, moment, path, environment)
        except CommandError as error:
            raise HookError(str(error)) from None
        if code:
            raise HookError(
                "The hook {path} ended with exit code {code}, which stops the run. What it said is above.",
                path=path,
                code=code,
            )


def after(context: Context, moment: Moment, environment: Mapping[str, str]) -> None:
    """Run the hook of this moment, if there is one; what goes wrong with it is a warning and changes nothing."""
    try:
        path = _program(context.settings.hooks_dir, moment)
        if path is None:
            return
        with context.reporter.stage(moment) as remark:
            code = _run(context, moment, path, environment)
            if code:
                remark.note("exit code {code}", code=code)
                context.reporter.warning(
                    "The hook {path} ended with exit code {code}; nothing is undone for that.", path=path, code=code
                )
    except (HookError, CommandError) as error:
        context.reporter.warning(str(error))


def _program(directory: Path | None, moment: Moment) -> Path | None:
    """Return the hook's path; HookError when another user could have written it, or it cannot be executed."""
    if directory is None:
        return None
    path = directory / moment
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unseen(path, error) from None
    try:
        # A link that leads nowhere is no missing hook.
        info = path.stat()
        for place, status in ((directory, directory.stat()), (path, info)):
            if status.st_uid not in (0, os.geteuid()) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise HookError(
                    "The hook {path} is not run: users other than root can write {place}. To fix: chown root "
                    "{place}; chmod go-w {place}",
                    path=path,
                    place=place,
                )
    except OSError as error:
        raise _unseen(path, error) from None
    if not stat.S_ISREG(info.st_mode) or not os.access(path, os.X_OK):
        raise HookError(
            "The hook {path} is not run: it is no program. Make it one (chmod +x {path}), or remove it.", path=path
        )
    return path


def _unseen(path: Path, error: OSError) -> HookError:
    return HookError("The hook {path} cannot be looked at: {strerror}.", path=path, strerror=error.strerror)


def _run(context: Context, moment: Moment, path: Path, environment: Mapping[str, str]) -> int:
    return execute(
        f"exec {shlex.quote(str(path))}\n",
        tr("The hook {path}", path=path),
        {"GOVMA_HOOK": moment, **environment},
        context.reporter,
        context.settings.hook_timeout,
    )


def variables(context: Context, version: str = "", previous: str = "", commit: str = "") -> dict[str, str]:
    """Return the variables, documented in docs/serving.md; what is not known (yet) is an empty text."""
    directory = context.settings.versions_dir
    return {
        "GOVMA_RUN": context.run_id,
        "GOVMA_OPERATION": context.operation,
        "GOVMA_BY": context.by,
        "GOVMA_ORIGIN": context.origin,
        "GOVMA_VERSIONS_DIR": str(directory),
        "GOVMA_VERSION": version,
        "GOVMA_VERSION_PATH": str(directory / version) if version else "",
        "GOVMA_PREVIOUS": previous,
        "GOVMA_COMMIT": commit,
    }
