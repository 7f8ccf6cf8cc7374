"""Looks at the directories that the settings name: whether they are there, their owners, and what stops a deploy."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from govma_core.building import node_modules, work_dir
from govma_core.fs import claims
from govma_core.fs.permissions import cannot_write
from govma_core.settings import Settings
from govma_core.text.language import tr

State = Literal["ok", "note", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, what is the matter with it, and the commands that mend it: `mend`, then `then`.

    A command that is `safe` may be run without asking: it makes a directory or gives it to its owner, and touches
    nothing that is in it. With a finding that `stops` no deploy begins. `doctor --json` prints the fields.
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
        """Return the finding as a sentence of its own."""
        if self.said.endswith("."):
            return self.said
        if not self.mend:
            return f"{self.what}: {self.said}."
        return tr("{what}: {said}. To fix: {command}", what=self.what, said=self.said, command=self.command)


VERSIONS_ROLE = "versions-dir"
"""The name of the claim of versions_dir (see fs/claims.py)."""

_MADE = tr("the next deploy makes it")
_ROOT = (0, 0)


def examine(settings: Settings) -> Iterator[Finding]:
    """Yield a finding for each directory."""
    web = settings.web_owner
    # A run has made state_dir before it looks, and a deploy looks at the tarballs themselves.
    yield replace(_no_parent("state_dir", settings.state_dir) or _state_dir(settings), stops=False)
    yield _directory("versions_dir", settings.versions_dir, web)
    yield from claimed_elsewhere(settings)
    yield _directory("upload_dir", settings.upload_dir, web)
    if settings.image_dir is not None:
        images = _directory("image_dir", settings.image_dir, web)
        # A link that leads nowhere is a storage that is not mounted.
        linked = settings.image_dir.is_symlink()
        finding = images if linked else _optional(images, tr("images stay in the version"))
        # Once it exists, images move out of the versions, to where the web server may not see them.
        yield replace(finding, mend=(), safe=False) if finding.state == "note" and finding.safe else finding
    yield from _node_modules(settings)
    yield from _work_dir(settings)
    yield replace(_directory("vendor_dir", settings.vendor_dir, _ROOT, writes=False), stops=False)


def refusal(settings: Settings) -> str:
    """Return a sentence for the first that stops a deploy; '' when none does."""
    return next((finding.sentence() for finding in examine(settings) if finding.stops), "")


def claimed_elsewhere(settings: Settings) -> Iterator[Finding]:
    """Yield a finding for each directory in which the runs of another state_dir work."""
    for what, path, role in (
        ("versions_dir", settings.versions_dir, VERSIONS_ROLE),
        ("work_dir", settings.work_dir, work_dir.ROLE),
    ):
        if (owner := claims.other_owner(path, settings.state_dir, role)) is not None:
            problem = tr(
                "{path} belongs to the site whose state_dir is {owner}, not {state_dir}: two would end each other's "
                "builds, and prune what the other has pinned. Use its settings, or other directories; a state_dir "
                "that is no longer used has to be moved away",
                path=path,
                owner=owner,
                state_dir=settings.state_dir,
            )
            yield Finding(what, "wrong", problem, stops=True)


def _state_dir(settings: Settings) -> Finding:
    return _optional(_directory("state_dir", settings.state_dir, _ROOT, "0700"), tr("the first run makes it"))


def _node_modules(settings: Settings) -> Iterator[Finding]:
    what, path, owner = "node_modules_dir", settings.node_modules_dir, settings.build_owner
    yield _no_parent(what, path) or replace(_optional(_directory(what, path, owner), _MADE), stops=False)
    if former := [str(each) for each in node_modules.set_aside(path)]:
        sentence = tr("nothing needs the former node_modules that deploys moved away: {paths}", paths=", ".join(former))
        yield Finding(what, "note", sentence, ("rm", "-r", *former))


def _no_parent(what: str, path: Path) -> Finding | None:
    """Return what is wrong where a deploy makes the directory, but not the one above it."""
    if path.parent.is_dir():
        return None
    problem = tr("{path} cannot be made: {parent} is not there", path=path, parent=path.parent)
    return Finding(what, "wrong", problem, ("install", "-d", str(path.parent)), safe=True, stops=True)


def _work_dir(settings: Settings) -> Iterator[Finding]:
    if above := _no_parent("work_dir", settings.work_dir):
        yield above
        return
    problems = work_dir.preflight(settings.work_dir, settings.state_dir)
    for problem in problems:
        yield Finding("work_dir", "wrong", problem, stops=True)
    if not problems:
        # It is emptied and taken back at each start; deploy.sh left it to the build's user.
        owners = (_ROOT, settings.build_owner)
        findings = [_optional(_directory("work_dir", settings.work_dir, owner), _MADE) for owner in owners]
        yield replace(min(findings, key=lambda finding: finding.state != "ok"), stops=False)


def _directory(what: str, path: Path, owner: tuple[int, int], mode: str = "0755", *, writes: bool = True) -> Finding:
    """Look at a directory and its owner, and whether its mode allows what it must not."""
    mend = ("install", "-d", "-o", str(owner[0]), "-g", str(owner[1]), "-m", mode, str(path))
    try:
        info = path.stat()
    except FileNotFoundError:
        return Finding(what, "wrong", tr("{path} is not there", path=path), mend, safe=True, stops=True)
    except OSError as error:
        problem = tr("{path} cannot be looked at: {strerror}", path=path, strerror=error.strerror)
        return Finding(what, "wrong", problem, stops=True)
    if not stat.S_ISDIR(info.st_mode):
        return Finding(what, "wrong", tr("{path} is no directory; move it away", path=path), stops=True)
    if writes and (obstacle := cannot_write(what, path)):
        return Finding(what, "wrong" if os.geteuid() == 0 else "note", obstacle, stops=True)
    if os.geteuid() == 0 and (info.st_uid, info.st_gid) != owner:
        problem = tr(
            "{path} belongs to {st_uid}:{st_gid}, not {owner}:{owner2}",
            path=path,
            st_uid=info.st_uid,
            st_gid=info.st_gid,
            owner=owner[0],
            owner2=owner[1],
        )
        # After deploy.sh the owners may be others; that does not stop a deploy.
        return Finding(what, "wrong", problem, ("chown", f"{owner[0]}:{owner[1]}", str(path)), safe=True)
    if owner[0] == 0 and info.st_mode & stat.S_IWOTH:
        problem = tr("{path} can be written by everybody", path=path)
        return Finding(what, "wrong", problem, ("chmod", "o-w", str(path)), safe=True)
    return Finding(what, "ok", str(path))


def _optional(finding: Finding, consequence: str) -> Finding:
    """Return a note, with the consequence, where a directory is missing that a site need not have."""
    if finding.mend[:1] != ("install",):
        return finding
    return replace(finding, state="note", said=f"{finding.said}: {consequence}", stops=False)
