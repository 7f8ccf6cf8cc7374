"""Who but root can exchange what the settings name: whoever can write a directory above it, or the env file itself."""

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
class Way:
    """A directory (or the env file) that others than root can write, whose it is, and the settings it leads to."""

    path: Path
    info: os.stat_result
    names: list[str]

    @property
    def mend(self) -> tuple[str, ...]:
        """Return the command that leaves it to root; where both owner and mode are wrong, the first of two."""
        if self.info.st_uid != 0:
            return ("chown", "root", str(self.path))
        return ("chmod", "g-w,o-w", str(self.path))

    def said(self) -> str:
        """Say who can do what."""
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


def ways(settings: Settings) -> list[Way]:
    """Return every such place, the outermost first; none for who is not root: only their own rights are at stake.

    What the web server and the build must be able to write is theirs, and none of them.
    """
    if os.geteuid() != 0:
        return []
    theirs = {settings.versions_dir, settings.upload_dir, settings.image_dir, settings.node_modules_dir}
    found: dict[Path, Way] = {}
    for name, path in _configured(settings):
        places = list(permissions.above(path))
        if name == "env_file" and path.is_file():
            places.append((path, path.stat()))
        for place, info in places:
            if place not in theirs and not permissions.ours_alone(info):
                found.setdefault(place, Way(place, info, [])).names.append(name)
    return sorted(found.values(), key=lambda way: way.path)


def of_the_build(settings: Settings, found: Iterable[Way]) -> list[Way]:
    """Return those that a build on this machine could use; one in a container does not get there."""
    if settings.builder != "local":
        return []
    return [way for way in found if permissions.can_write(way.info, *settings.build_owner)]


def refusals(settings: Settings, found: Iterable[Way]) -> list[str]:
    """Return a sentence for each way that a build on this machine could use."""
    return [
        tr(
            "{path} can be written by uid {uid}, as whom the build runs on this machine: it could replace {names}. "
            "Leave it to root ({command}), or build in a container: GOVMA_BUILDER=docker.",
            path=way.path,
            uid=settings.build_uid,
            names=", ".join(way.names),
            command=shlex.join(way.mend),
        )
        for way in of_the_build(settings, found)
    ]


def warning(found: Iterable[Way]) -> str:
    """Say all of it in one line, '' when there is nothing."""
    places = ", ".join(str(way.path) for way in found)
    if not places:
        return ""
    return tr(
        "Users other than root can replace what the settings name, by way of {places}. `govma-console doctor` "
        "says more.",
        places=places,
    )


def _configured(settings: Settings) -> Iterable[tuple[str, Path]]:
    return [
        (name, path)
        for name, path in (
            ("source_dir", settings.source_dir),
            ("versions_dir", settings.versions_dir),
            ("upload_dir", settings.upload_dir),
            ("image_dir", settings.image_dir),
            ("node_modules_dir", settings.node_modules_dir),
            ("env_file", settings.env_file),
            ("work_dir", settings.work_dir),
            ("ee_tarball", settings.ee_path),
            ("themes_tarball", settings.themes_path),
            ("state_dir", settings.state_dir),
            ("hooks_dir", settings.hooks_dir),
        )
        if path is not None
    ]
