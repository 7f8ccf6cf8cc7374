"""The directories that the settings name: whether they are there, whose they are, and what stops a deploy."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from govma_core.building import work_dir
from govma_core.fs.permissions import cannot_write
from govma_core.settings import Settings
from govma_core.text.language import tr

State = Literal["ok", "note", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, and the command that mends it; `then` is what has to follow that.

    One that is `safe` may be run without asking: it makes a directory or gives it to its owner, and touches nothing
    that is in it. With one that `stops` no deploy begins.
    """

    what: str
    state: State
    said: str
    mend: tuple[str, ...] = ()
    safe: bool = False
    stops: bool = False
    then: tuple[tuple[str, ...], ...] = ()

    @property
    def command(self) -> str:
        """Return the command as it is typed, '' when there is none."""
        return " && ".join(shlex.join(each) for each in (self.mend, *self.then) if each)

    def sentence(self) -> str:
        """Return it as a sentence of its own."""
        if self.said.endswith("."):
            return self.said
        if not self.mend:
            return f"{self.what}: {self.said}."
        return tr("{what}: {said}. To fix: {command}", what=self.what, said=self.said, command=self.command)


_MADE = tr("the next deploy makes it")
_ROOT = (0, 0)


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at one after the other."""
    web = settings.web_owner
    # The run that asks has made it by then; who deploys sees the tarballs themselves.
    yield replace(_directory("state_dir", settings.state_dir, _ROOT, "0700"), stops=False)
    yield _directory("versions_dir", settings.versions_dir, web)
    yield _directory("upload_dir", settings.upload_dir, web)
    if settings.image_dir is not None:
        images = _directory("image_dir", settings.image_dir, web)
        # A link that leads nowhere is a storage that is not mounted.
        linked = settings.image_dir.is_symlink()
        without = images if linked else _optional(images, tr("images stay in the version"))
        # Made, it would move the images out of the versions, to where the web server may not see them.
        yield replace(without, mend=(), safe=False) if without.state == "note" and without.safe else without
    yield _node_modules(settings)
    yield from _work_dir(settings)
    yield replace(_directory("vendor_dir", settings.vendor_dir, _ROOT, written=False), stops=False)


def _node_modules(settings: Settings) -> Finding:
    what, path, owner = "node_modules_dir", settings.node_modules_dir, settings.build_owner
    return _no_parent(what, path) or replace(_optional(_directory(what, path, owner), _MADE), stops=False)


def _no_parent(what: str, path: Path) -> Finding | None:
    """Return what is wrong where a deploy makes the directory, but not the one above it."""
    if path.parent.is_dir():
        return None
    said = tr("{path} cannot be made: {parent} is not there", path=path, parent=path.parent)
    return Finding(what, "wrong", said, ("install", "-d", str(path.parent)), safe=True, stops=True)


def _work_dir(settings: Settings) -> Iterator[Finding]:
    if above := _no_parent("work_dir", settings.work_dir):
        yield above
        return
    problems = work_dir.preflight(settings.work_dir, settings.state_dir)
    for problem in problems:
        yield Finding("work_dir", "wrong", problem, stops=True)
    if not problems:
        yield replace(_optional(_directory("work_dir", settings.work_dir, _ROOT), _MADE), stops=False)


def _directory(what: str, path: Path, owner: tuple[int, int], mode: str = "0755", *, written: bool = True) -> Finding:
    """Look at a directory and whose it is. Its mode is looked at for what it must not allow, not for what it is."""
    mend = ("install", "-d", "-o", str(owner[0]), "-g", str(owner[1]), "-m", mode, str(path))
    try:
        info = path.stat()
    except FileNotFoundError:
        return Finding(what, "wrong", tr("{path} is not there", path=path), mend, safe=True, stops=True)
    except OSError as error:
        said = tr("{path} cannot be looked at: {strerror}", path=path, strerror=error.strerror)
        return Finding(what, "wrong", said, stops=True)
    if not stat.S_ISDIR(info.st_mode):
        return Finding(what, "wrong", tr("{path} is no directory; move it away", path=path), stops=True)
    if written and (closed := cannot_write(what, path)):
        return Finding(what, "wrong" if os.geteuid() == 0 else "note", closed, stops=True)
    if os.geteuid() == 0 and (info.st_uid, info.st_gid) != owner:
        said = tr(
            "{path} belongs to {st_uid}:{st_gid}, not {owner}:{owner2}",
            path=path,
            st_uid=info.st_uid,
            st_gid=info.st_gid,
            owner=owner[0],
            owner2=owner[1],
        )
        # The way from deploy.sh: whose they are by then stops nobody.
        return Finding(what, "wrong", said, ("chown", f"{owner[0]}:{owner[1]}", str(path)), safe=True)
    if owner[0] == 0 and info.st_mode & stat.S_IWOTH:
        said = tr("{path} can be written by everybody", path=path)
        return Finding(what, "wrong", said, ("chmod", "o-w", str(path)), safe=True)
    return Finding(what, "ok", str(path))


def _optional(found: Finding, without: str) -> Finding:
    """Take for a note that something is missing which nobody has to have, with what that means."""
    missing = found.mend[:1] == ("install",)
    return replace(found, state="note", said=f"{found.said}: {without}", stops=False) if missing else found
