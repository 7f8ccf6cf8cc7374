"""Removing versions, and what killed runs left beside them.

A version is renamed to a hidden name first, checked once more, then cleared. A note in the state directory says which
version that is while it goes on, so that the next run can finish the removal of a run that was killed, or take it back.
All other hidden names of ours are leftovers of killed runs, and swept.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Collection, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path, PurePath

from govma_core.errors import GovmaError, PublishError, UnsafeTreeError
from govma_core.fs import jsonfile, safefs, trees
from govma_core.reporting import Reporter
from govma_core.text.language import tr
from govma_core.versions.contents import ContentsStore
from govma_core.versions.manifest import ManifestStore
from govma_core.versions.marks import MarkStore, PinStore
from govma_core.versions.store import INCOMING_PREFIX, LINK_PREFIX, OURS, REMOVED_PREFIX, STAGING_PREFIX, VersionStore

_DESCRIPTIONS = {
    LINK_PREFIX: tr("a link that an interrupted promotion had staged"),
    INCOMING_PREFIX: tr("an incomplete copy that an interrupted run left"),
    STAGING_PREFIX: tr("files that an interrupted run had staged"),
    REMOVED_PREFIX: tr("what was left of a version that was being removed"),
}
PROBE = re.compile(r"govma-probe-[0-9a-f]{32}\.(php|txt)")
"""Name of the page in `html/` by which the proof of a promotion tells the versions apart."""
_MOST_LISTED = 3


@dataclass(frozen=True, slots=True)
class Removal:
    """What became of a version: `spared` says why it was left alone ('' when it was removed).

    `unremovable` has a sentence for each file or directory of it that is still there.
    """

    version: str
    spared: str = ""
    unremovable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Note:
    """A version of a versions directory under its hidden name; `clearing` once nothing spoke against removing it.

    The next run recognises it by `inode` alone: the device may have another number after a restart of the machine.
    """

    directory: str
    version: str
    hidden: str
    clearing: bool = False
    inode: int = 0


class Remover:
    """Removes versions, each with all records of it; only under the lock."""

    def __init__(self, store: VersionStore, state_dir: Path) -> None:
        self._store = store
        self._state_dir = state_dir
        self._pins = PinStore(state_dir)
        self._note = state_dir / "removal.json"

    def remove(self, name: str) -> Removal:
        """Remove a version, unless it has become live or pinned, or is no directory any more.

        PublishError when a version that must stay could not get its name back.
        """
        with ExitStack() as stack:
            fd = stack.enter_context(safefs.opened_root(self._store.directory))
            try:
                # Open from here on: this directory is cleared, whatever has its name later.
                version = stack.enter_context(safefs.opened(fd, name))
            except (FileNotFoundError, UnsafeTreeError):
                return Removal(name, tr("it is gone, or no directory any more"))
            if objection := self._objection(name):
                return Removal(name, objection)
            info = os.fstat(version)
            hidden = safefs.random_name(REMOVED_PREFIX)
            note = Note(str(self._store.directory), name, hidden, inode=info.st_ino)
            self._write(note)
            try:
                safefs.rename_noreplace(name, note.hidden, src_dir_fd=fd, dst_dir_fd=fd)
            except OSError as error:
                self._erase()
                return Removal(name, tr("it cannot be renamed: {reason}", reason=trees.reason(error)))
            os.fsync(fd)
            is_there = _is_at(fd, note.hidden, info)
            objection = self._objection(name) if is_there else tr("something else took its place")
            if objection:
                self._put_back(fd, note)
                return Removal(name, objection)
            self._write(dataclasses.replace(note, clearing=True))
            # Where that is not permitted, the sentences about what cannot be cleared say why.
            with suppress(OSError):
                trees.mark(version)
            unremovable = trees.clear_opened(fd, note.hidden, version)
            os.fsync(fd)
        self._forget(name)
        return Removal(name, "", tuple(unremovable))

    def take_up(self) -> str:
        """Finish, or take back, the removal that a killed run had begun; return a sentence about it, '' without one.

        Only the records are deleted here; the rest of the tree is removed by `sweep`, which comes after this.
        """
        note = _read_note(self._note)
        if note is None or note.directory != str(self._store.directory):
            return ""
        with safefs.opened_root(self._store.directory) as fd:
            if safefs.lstat(fd, note.version) is not None:
                self._erase()
                return ""
            objection = "" if note.clearing else self._objection(note.version)
            if objection and safefs.is_directory(fd, note.hidden):
                self._put_back(fd, note)
                return tr(
                    "{version}, which an interrupted prune was about to remove, is back: {objection}.",
                    version=note.version,
                    objection=objection,
                )
            _mark_again(fd, note)
        self._forget(note.version)
        return tr("The removal of {version}, which was interrupted, is finished.", version=note.version)

    def _objection(self, name: str) -> str:
        """Return what speaks against removing the version; asked before it is renamed, and again after that."""
        pointer = self._store.pointer()
        if pointer.target is not None and PurePath(os.path.normpath(pointer.target)).name == name:
            return tr("current-version leads to it by now")
        if pointer.version is None:
            return tr("it is not certain which version is live: {value}", value=pointer.problem.rstrip("."))
        return tr("it is pinned by now") if name in self._pins.read() else ""

    def _put_back(self, fd: int, note: Note) -> None:
        """Give a version its name back; where it cannot be renamed the note stays, and the next run tries again."""
        try:
            safefs.rename_noreplace(note.hidden, note.version, src_dir_fd=fd, dst_dir_fd=fd)
        except FileExistsError:
            # Under a hidden name the next run would remove it.
            aside = f"{note.version}.aside-{os.urandom(4).hex()}"
            safefs.rename_noreplace(note.hidden, aside, src_dir_fd=fd, dst_dir_fd=fd)
            self._erase()
            os.fsync(fd)
            raise PublishError(
                "{version} has to be kept, but a new one of the same name appeared while it was set aside. "
                "It is now {directory}; rename it by hand.",
                version=note.version,
                directory=self._store.directory / aside,
            ) from None
        self._erase()
        os.fsync(fd)

    def _write(self, note: Note) -> None:
        try:
            jsonfile.replace(self._note, dataclasses.asdict(note))
        except OSError:
            # Versions must be removable on a full disk above all; but no older note may stay and name another version.
            self._erase()

    def _erase(self) -> None:
        with suppress(OSError):
            self._note.unlink(missing_ok=True)

    def _forget(self, name: str) -> None:
        ManifestStore(self._state_dir).discard(name)
        ContentsStore(self._state_dir).discard(name)
        MarkStore(self._state_dir).clear(name)
        self._pins.unpin(name)
        self._erase()


def _read_note(path: Path) -> Note | None:
    data = jsonfile.read(path) or {}
    try:
        note = Note(**data)
    except TypeError:
        return None
    texts = (note.directory, note.version, note.hidden)
    return note if all(isinstance(text, str) for text in texts) and OURS.fullmatch(note.hidden) else None


def _is_at(fd: int, name: str, info: os.stat_result) -> bool:
    present = safefs.lstat(fd, name)
    return present is not None and os.path.samestat(present, info)


def _mark_again(fd: int, note: Note) -> None:
    """Mark the hidden version for the sweep, unless something else has its name by now."""
    with suppress(OSError, UnsafeTreeError), safefs.opened(fd, note.hidden) as version:
        info = os.fstat(version)
        if (info.st_dev, info.st_ino) == (os.fstat(fd).st_dev, note.inode):
            trees.mark(version)


@dataclass(frozen=True, slots=True)
class Leftover:
    """A hidden name that was swept, what it stood for, and a sentence for each thing in it that could not be removed.

    What only has such a name was left alone: `unremovable` is None then.
    """

    name: str
    what: str
    unremovable: Sequence[str] | None


def sweep(dir_fd: int, *, spare: Collection[str] = ()) -> list[Leftover]:
    """Remove the hidden names of ours in the versions directory, as far as possible; does not raise for the rest.

    Only under the lock: no other run is staging then. Names with a prefix in `spare` are left alone.
    """
    matches = [(entry, match[1]) for entry in safefs.entries(dir_fd) if (match := OURS.fullmatch(entry.name))]
    leftovers = [_sweep(dir_fd, entry, prefix) for entry, prefix in matches if prefix not in spare]
    return sorted(leftovers, key=lambda leftover: leftover.name)


def _sweep(dir_fd: int, entry: os.DirEntry[str], prefix: str) -> Leftover:
    unremovable: list[str] | None = []
    if prefix == LINK_PREFIX and entry.is_symlink():
        try:
            trees.remove(dir_fd, entry.name)
        except OSError as error:
            unremovable = [f"{entry.name}: {trees.reason(error)}"]
    else:
        unremovable = trees.clear_marked(dir_fd, entry.name)
    return Leftover(entry.name, _DESCRIPTIONS[prefix], unremovable)


def clear(versions: VersionStore, state_dir: Path, reporter: Reporter) -> None:
    """Clear the versions directory of what killed runs left, and say what that was. Only under the lock.

    What resists (an immutable file, a mount) is named in a warning, and tried again by the next run.
    """
    try:
        pointer = versions.pointer()
    except (GovmaError, OSError):
        # The operation that needs the versions directory says what is wrong with it.
        return
    if sentence := Remover(versions, state_dir).take_up():
        reporter.warning(sentence)
        pointer = versions.pointer()
    # Where the link leads to nothing, what it led to may be what was set aside.
    spare = [REMOVED_PREFIX] if pointer.version is None and pointer.target is not None else []
    with safefs.opened_root(versions.directory) as fd:
        remove_probes(fd, [version.name for version in versions.versions()])
        for leftover in sweep(fd, spare=spare):
            path = versions.directory / leftover.name
            warn_of_leftover(reporter, path, leftover.what, leftover.unremovable)
            if leftover.unremovable == []:
                reporter.info("Removed {name}, {what}.", name=leftover.name, what=leftover.what)


def remove_probes(versions_fd: int, versions: Sequence[str]) -> None:
    """Remove the probes in these versions, as far as possible. Only under the lock: no other run asks for them then."""
    for version in versions:
        with suppress(OSError, UnsafeTreeError), safefs.opened(versions_fd, version, "html") as html:
            for entry in safefs.entries(html):
                if PROBE.fullmatch(entry.name):
                    with suppress(OSError):
                        os.unlink(entry.name, dir_fd=html)


def warn_of_leftover(reporter: Reporter, path: Path, what: str, unremovable: Sequence[str] | None) -> None:
    """Warn of a killed run's leftover that is still there: `unremovable` is None where it may not be ours."""
    if unremovable is None:
        reporter.warning(
            "{path} is named like a leftover of a killed run, but it is not certain that it is one; "
            "it is left alone. Look at what it holds, then rename or remove it.",
            path=path,
        )
    elif unremovable:
        reporter.warning(
            "{name} ({what}) cannot be removed whole: {left}.",
            name=path.name,
            what=what,
            left=first_few(unremovable),
        )


def first_few(problems: Sequence[str]) -> str:
    """Return the first few of many sentences in one line."""
    more = len(problems) - _MOST_LISTED
    return "; ".join(problems[:_MOST_LISTED]) + (tr("; and {more} more", more=more) if more > 0 else "")
