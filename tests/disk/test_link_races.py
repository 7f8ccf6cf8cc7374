"""What changes between the comparison of two files and the link: nothing of it is lost, in a dedupe and at birth."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from govma_core.disk.compare import Inode, LeftAloneError, OpenFile, Tally
from govma_core.disk.hard_links import HardLinks, MasterUnusableError
from govma_core.disk.link_new_version import EarlierFiles, link_tree
from govma_core.fs import leases, safefs
from govma_core.fs.walk import Directories
from govma_core.text.globs import globs
from govma_core.versions.contents import FileRecord, digest_of

CONTENT = b"<?php echo 1;\n" * 100
NOTHING = globs([])


def wait_to_write(path: Path) -> None:
    """Ask for the file as a writer does who waits for the lease; the kernel asks for it back at once."""
    with suppress(BlockingIOError):
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))


def write(path: Path) -> None:
    path.write_bytes(CONTENT[:-1] + b"!")


def replace(path: Path) -> None:
    path.with_name("staged").write_bytes(b"newest")
    path.with_name("staged").rename(path)


@dataclass
class Pair:
    """Two equal files of two versions, opened and compared; the first is to be the master of the second."""

    master_path: Path
    path: Path
    staging: Path
    inode: Inode
    master: OpenFile
    file: OpenFile
    sharing: HardLinks
    tally: Tally

    def share(self) -> None:
        self.sharing.share(self.inode, self.file, self.master, self.tally)

    def finish(self) -> None:
        self.sharing.finish(self.tally)

    def linked(self) -> bool:
        return self.path.samefile(self.master_path)

    def reasons(self) -> dict[str, list[str]]:
        return {reason: files.names for reason, files in self.tally.left_alone.items()}


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    leases.ignore_breaks()
    names = ["one", "two"]
    with ExitStack() as stack:
        roots = []
        for name in (*names, "staging"):
            (tmp_path / name).mkdir()
            roots.append(os.open(tmp_path / name, safefs.DIRECTORY_FLAGS))
            stack.callback(os.close, roots[-1])
        paths = one, two = [tmp_path / name / "a" for name in names]
        for path in paths:
            path.write_bytes(CONTENT)
        directories = Directories(roots[:2])
        stack.callback(directories.close)
        inodes = [Inode(path.stat(), [(root, "", "a")], fixed=False) for root, path in enumerate(paths)]
        master, file = (OpenFile(directories, inode) for inode in inodes)
        stack.callback(master.close)
        stack.callback(file.close)
        assert master.equals(file)
        sharing = HardLinks(directories, names, roots[2])
        yield Pair(one, two, tmp_path / "staging", inodes[1], master, file, sharing, Tally())
    # Nothing that waits for a lease is left behind.
    assert os.listdir(tmp_path / "staging") == []


def at_exchange(monkeypatch: pytest.MonkeyPatch, *actions: Callable[[], object]) -> None:
    """Do the first before the first exchange, the second before the second one, and so on."""
    real, left = safefs.rename_exchange, list(actions)

    def exchange(*arguments: Any, **options: Any) -> bool:
        if left:
            left.pop(0)()
        return real(*arguments, **options)

    monkeypatch.setattr(safefs, "rename_exchange", exchange)


def test_two_equal_files_are_linked_and_counted(pair: Pair) -> None:
    """Guards the other tests here: without a change in between it is a link."""
    size = pair.path.stat().st_blocks * 512
    pair.share()
    pair.finish()
    assert pair.linked()
    assert (pair.tally.linked, pair.tally.freed, pair.reasons()) == (1, size, {})


@pytest.mark.parametrize("change", [replace, wait_to_write])
def test_what_changes_between_the_comparison_and_the_exchange_is_put_back(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    at_exchange(monkeypatch, lambda: change(pair.path))
    with pytest.raises(LeftAloneError, match="changed meanwhile"):
        pair.share()
    pair.finish()
    assert not pair.linked()
    assert pair.path.read_bytes() == (b"newest" if change is replace else CONTENT)
    assert pair.tally.linked == 0


def test_a_third_file_that_comes_while_one_is_put_back_is_the_newest_and_stays(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def third() -> None:
        pair.path.with_name("staged").write_bytes(b"third")
        pair.path.with_name("staged").rename(pair.path)

    at_exchange(monkeypatch, lambda: replace(pair.path), third)
    with pytest.raises(LeftAloneError, match="changed meanwhile"):
        pair.share()
    pair.finish()
    assert pair.path.read_bytes() == b"third"


@pytest.mark.parametrize(
    ("of", "raised"), [("path", LeftAloneError("being written")), ("master_path", MasterUnusableError("being written"))]
)
def test_a_writer_who_waits_already_keeps_a_file_as_it_is(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, of: str, raised: Exception
) -> None:
    wait_to_write(getattr(pair, of))
    at_exchange(monkeypatch, lambda: pytest.fail("nothing is to be exchanged"))
    with pytest.raises(type(raised), match="being written"):
        pair.share()
    pair.finish()
    assert not pair.linked()


@pytest.mark.parametrize("replaced_since", [False, True])
def test_what_was_taken_out_and_is_written_to_after_that_is_put_back(pair: Pair, replaced_since: bool) -> None:
    """Guards who opened the file before the exchange, and got its lease after that; a newer file of the name stays."""
    pair.share()
    (taken_out,) = pair.staging.iterdir()
    pair.file.close()
    write(taken_out)
    pair.file.fd = os.open(os.devnull, os.O_RDONLY)
    if replaced_since:
        replace(pair.path)
    pair.finish()
    assert pair.path.read_bytes() == (b"newest" if replaced_since else CONTENT[:-1] + b"!")
    assert pair.tally.linked == (1 if replaced_since else 0)
    assert pair.reasons() == ({} if replaced_since else {"being written": ["two/a"]})
    assert (pair.tally.freed > 0) is replaced_since


@pytest.mark.parametrize("changes", [False, True])
def test_without_an_exchange_the_name_is_looked_at_last(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, changes: bool
) -> None:
    """Guards file systems without RENAME_EXCHANGE."""
    size = pair.path.stat().st_blocks * 512

    def cannot(*arguments: Any, **options: Any) -> bool:
        if changes:
            replace(pair.path)
        return False

    monkeypatch.setattr(safefs, "rename_exchange", cannot)
    if changes:
        with pytest.raises(LeftAloneError, match="changed meanwhile"):
            pair.share()
    else:
        pair.share()
    pair.finish()
    assert pair.linked() is not changes
    assert pair.path.read_bytes() == (b"newest" if changes else CONTENT)
    assert pair.tally.linked == (0 if changes else 1)
    assert pair.tally.freed == (0 if changes else size)


@pytest.mark.parametrize(
    ("code", "raised", "said"),
    [
        (errno.EMLINK, MasterUnusableError, "None"),
        (errno.ENOENT, MasterUnusableError, "None"),
        (errno.EPERM, MasterUnusableError, "immutable"),
        (errno.EXDEV, LeftAloneError, "on another file system"),
        (errno.EIO, OSError, "error"),
    ],
)
def test_what_an_error_of_the_link_means(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, code: int, raised: type[Exception], said: str
) -> None:
    def fails(*arguments: Any, **options: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", fails)
    with pytest.raises(raised, match=said):
        pair.share()
    pair.finish()
    assert not pair.linked()


def test_an_inode_is_freed_with_the_last_of_its_names_whoever_removes_it(tmp_path: Path) -> None:
    """Guards the account where several processes each remove some names of one inode."""
    (tmp_path / "a").write_bytes(CONTENT)
    for name in "bc":
        os.link(tmp_path / "a", tmp_path / name)
    info = (tmp_path / "a").stat()
    size = info.st_blocks * 512

    def tally(*names: int) -> Tally:
        counted = Tally()
        for number in names:
            counted.count_removed(info, number)
        return counted

    assert [tally(*names).freed for names in ((3,), (2,), (0,), (2, 1), (1, 1))] == [size, 0, 0, size, 0]
    assert tally(0).partly == {}
    one, other, third = tally(1), tally(1), tally(1)
    one.add(other)
    assert one.freed == 0
    one.add(third)
    assert (one.freed, one.partly) == (size, {})


@dataclass
class Born:
    """A file of the live version, and the equal one of a version that is being made."""

    live: Path
    new: Path

    def link(self, *older: Path) -> int:
        with ExitStack() as stack:
            fds = []
            for path in (self.new.parent, self.live.parent, *older):
                fds.append(os.open(path, safefs.DIRECTORY_FLAGS))
                stack.callback(os.close, fds[-1])
            # In this process: the faults are here.
            return link_tree(fds[0], fds[1:], NOTHING, workers=1).linked

    def link_as_it_is_unpacked(self) -> bool:
        with ExitStack() as stack:
            places = (self.live.parent.parent, self.new.parent)
            live, new = (os.open(place, safefs.DIRECTORY_FLAGS) for place in places)
            stack.callback(os.close, live)
            stack.callback(os.close, new)
            info = self.live.stat()
            record = FileRecord(digest_of(CONTENT), len(CONTENT), info.st_mode & 0o7777, info.st_uid, info.st_gid)
            return EarlierFiles(live, self.live.parent.name, NOTHING, frozenset()).link(("a",), record, new)


@pytest.fixture
def born(tmp_path: Path) -> Born:
    for name in ("live", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_bytes(CONTENT)
    return Born(tmp_path / "live/a", tmp_path / "new/a")


def after_comparison(monkeypatch: pytest.MonkeyPatch, action: Callable[[], None]) -> None:
    """Do something once the attributes were compared, which is last, and before it is asked whether all is quiet."""
    real = OpenFile.xattrs

    def xattrs(self: OpenFile) -> dict[str, bytes]:
        action()
        return real(self)

    monkeypatch.setattr(OpenFile, "xattrs", xattrs)


@pytest.mark.parametrize("lease", ["broken", "none to be had"])
def test_a_new_version_is_not_linked_to_what_is_written_since_the_comparison(
    born: Born, monkeypatch: pytest.MonkeyPatch, lease: str
) -> None:
    """Guards the new version's content: it would be that of a writer in an old version."""
    if lease == "broken":
        after_comparison(monkeypatch, lambda: wait_to_write(born.live))
    else:
        monkeypatch.setattr(leases, "take", lambda fd: None)
        after_comparison(monkeypatch, lambda: write(born.live))
    assert born.link() == 0
    assert born.new.read_bytes() == CONTENT
    if lease != "broken":
        born.live.write_bytes(CONTENT)
    born.new.unlink()
    assert not born.link_as_it_is_unpacked()


def test_without_a_lease_a_new_version_is_linked_to_what_nobody_writes(
    born: Born, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "take", lambda fd: None)
    assert born.link() == 1
    assert born.new.samefile(born.live)
    born.new.unlink()
    assert born.link_as_it_is_unpacked()
    assert born.new.samefile(born.live)


def test_at_the_limit_of_links_the_file_of_an_older_version_is_the_next(
    born: Born, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = born.live.parent.with_name("older")
    older.mkdir()
    (older / "a").write_bytes(CONTENT)
    real = os.link
    is_full = os.stat(born.live).st_ino

    def link(source: str, target: str, **options: Any) -> None:
        if os.stat(source).st_ino == is_full:
            raise OSError(errno.EMLINK, os.strerror(errno.EMLINK))
        real(source, target, **options)

    monkeypatch.setattr(os, "link", link)
    assert born.link(older) == 1
    assert born.new.samefile(older / "a")
    assert os.listdir(born.new.parent) == ["a"]
    born.new.unlink()
    assert not born.link_as_it_is_unpacked()
