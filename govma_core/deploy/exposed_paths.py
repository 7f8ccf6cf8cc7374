"""Paths by which users other than root can replace what the settings name: directories above it, or the env file."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from govma_core.fs import permissions
from govma_core.settings import Settings
from govma_core.text.language import tr


@dataclass(slots=True)
class ExposedPath:
    """A directory (or the env file) that users other than root can write, and the settings that it leads to."""

    path: Path
    info: os.stat_result
    names: list[str]

    @property
    def mend(self) -> tuple[str, ...]:
        """Return the command that leaves it to root; where both owner and mode are wrong, the first of two."""
        if self.info.st_uid != 0:
            return ("chown", "root", str(self.path))
        return ("chmod", "g-w,o-w", str(self.path))

    def sentence(self) -> str:
        """Say which user can replace which settings' files."""
        names = ", ".join(self.names)
        if self.info.st_uid != 0:
            return tr(
                "{path} belongs to uid {uid}, who can replace {names}",
                path=self.path,
                uid=self.info.st_uid,
                names=names,
            )
        return tr(
            "{path} can be written by users other than root, who can replace {names}", path=self.path, names=names
        )


def find(settings: Settings) -> list[ExposedPath]:
    """Return every exposed path, the outermost first; none unless we are root: only our own rights are at stake.

    Directories that the web server and the build must be able to write are not among them.
    """
    if os.geteuid() != 0:
        return []
    theirs = {settings.versions_dir, settings.upload_dir, settings.image_dir, settings.node_modules_dir}
    exposed: dict[Path, ExposedPath] = {}
    for name, path in _configured(settings):
        places = list(permissions.above(path))
        if name == "env_file" and path.is_file():
            places.append((path, path.stat()))
        for place, info in places:
            if place not in theirs and not permissions.ours_alone(info):
                exposed.setdefault(place, ExposedPath(place, info, [])).names.append(name)
    return sorted(exposed.values(), key=lambda each: each.path)


def writable_by_build(settings: Settings, exposed: Iterable[ExposedPath]) -> list[ExposedPath]:
    """Return those that a build on this machine could use; one in a container does not get there."""
    if settings.builder != "local":
        return []
    return [each for each in exposed if permissions.can_write(each.info, *settings.build_owner)]


def refusals(settings: Settings, exposed: Iterable[ExposedPath]) -> list[str]:
    """Return a sentence for each exposed path that a build on this machine could use."""
    return [
        tr(
            "{path} can be written by uid {uid}, as whom the build runs on this machine: it could replace {names}. "
            "Leave it to root ({command}), or build in a container: GOVMA_BUILDER=docker.",
            path=each.path,
            uid=settings.build_uid,
            names=", ".join(each.names),
            command=shlex.join(each.mend),
        )
        for each in writable_by_build(settings, exposed)
    ]


def warning(exposed: Iterable[ExposedPath]) -> str:
    """Say all of it in one line, '' when there is nothing."""
    places = ", ".join(str(each.path) for each in exposed)
    if not places:
        return ""
    return tr(
        "Users other than root can replace what the settings name, by way of {places}. `govma-console doctor` "
        "says more.",
        places=places,
    )


def _configured(settings: Settings) -> list[tuple[str, Path]]:
    paths = {
        "source_dir": settings.source_dir,
        "versions_dir": settings.versions_dir,
        "upload_dir": settings.upload_dir,
        "image_dir": settings.image_dir,
        "node_modules_dir": settings.node_modules_dir,
        "env_file": settings.env_file,
        "work_dir": settings.work_dir,
        "ee_tarball": settings.ee_path,
        "themes_tarball": settings.themes_path,
        "state_dir": settings.state_dir,
        "hooks_dir": settings.hooks_dir,
    }
    return [(name, path) for name, path in paths.items() if path is not None]
