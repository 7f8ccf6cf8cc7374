"""A tree that the build's user had in its hands: what is given to the web server, and what is refused."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
import struct
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from govma_core.building import tree_snapshot
from govma_core.deploy import ownership
from govma_core.errors import BuildError
from govma_core.fs import safefs
from tests.support.rights import as_root

BUILD, WEB = 1000, (33, 33)
ANYBODY = 0xFFFFFFFF


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "data"
    (tree / "html/sub").mkdir(parents=True)
    (tree / "html/index.php").write_text("12345")
    (tree / "html/sub/link").symlink_to("../index.php")
    return tree


def hand_over(tree: Path, owner: tuple[int, int] | None = WEB) -> int:
    with safefs.opened_root(tree) as fd:
        return ownership.hand_over(fd, owner, BUILD)


def lent(tree: Path) -> None:
    for path in [tree, *tree.rglob("*")]:
        os.chown(path, BUILD, BUILD, follow_symlinks=False)


@as_root
@pytest.mark.root
def test_everything_changes_owner_links_themselves_included(tree: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("secret")
    (tree / "out").symlink_to(outside)
    (tree / "from the cache").touch()
    lent(tree)
    # What the program or a hook has put there has these owners.
    os.chown(tree / "from the cache", *WEB)
    os.chown(tree / "html/sub/link", WEB[0], BUILD, follow_symlinks=False)
    assert hand_over(tree) == 2
    assert {(p.lstat().st_uid, p.lstat().st_gid) for p in [tree, *tree.rglob("*")]} == {WEB}
    assert os.readlink(tree / "html/sub/link") == "../index.php"
    assert (outside.stat().st_uid, outside.read_text()) == (0, "secret")


@as_root
@pytest.mark.root
def test_set_id_bits_do_not_survive(tree: Path) -> None:
    lent(tree)
    (tree / "html/index.php").chmod(0o6755)
    (tree / "html/sub").chmod(0o2775)
    (tree / "html/sticky").mkdir()
    (tree / "html/sticky").chmod(0o7777)
    hand_over(tree)
    assert (tree / "html/sticky").stat().st_mode & 0o7777 == 0o1775
    assert (tree / "html/index.php").stat().st_mode & (stat.S_ISUID | stat.S_ISGID) == 0
    assert (tree / "html/sub").stat().st_mode & (stat.S_ISUID | stat.S_ISGID) == 0


@as_root
@pytest.mark.root
def test_a_second_name_of_a_foreign_file_is_refused_and_the_file_is_untouched(tree: Path, tmp_path: Path) -> None:
    shadow = tmp_path / "shadow"
    shadow.write_text("root:x")
    lent(tree)
    os.link(shadow, tree / "html/sub/readme.txt")
    with pytest.raises(BuildError, match=r"html/sub/readme.txt"):
        hand_over(tree)
    assert shadow.stat().st_uid == 0


@as_root
@pytest.mark.root
def test_a_foreign_file_that_was_moved_into_the_tree_is_refused(tree: Path) -> None:
    lent(tree)
    before = mark(tree)
    foreign = tree / "html/sub/readme.txt"
    foreign.write_text("root's")
    with pytest.raises(BuildError, match=r"html/sub/readme.txt.*uid 0"):
        changes(before, tree, BUILD)
    # Ours may be there by then, from the cache of assets or a hook; somebody else's may not.
    os.chown(foreign, 54321, 54321)
    with pytest.raises(BuildError, match=r"html/sub/readme.txt.*uid 54321"):
        hand_over(tree)
    assert foreign.stat().st_uid == 54321


def access_list(*entries: tuple[int, int, int]) -> bytes:
    """Return what acl(5) calls an ACL as the kernel takes it: tag, permissions and id of each entry."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


@as_root
@pytest.mark.root
def test_nobody_else_can_write_the_tree_whatever_modes_and_lists_the_build_left(tree: Path) -> None:
    file = tree / "html/index.php"
    rights = access_list((1, 7, ANYBODY), (2, 7, 54321), (4, 5, ANYBODY), (0x10, 7, ANYBODY), (0x20, 7, ANYBODY))
    os.link(file, tree / "html/second.php")
    lent(tree)
    (tree / "html/plain.php").touch()
    for path in (tree / "html/sub", tree / "html/plain.php", file):
        path.chmod(0o777)
        os.setxattr(path, "system.posix_acl_access", rights)
    os.setxattr(tree / "html/sub", "system.posix_acl_default", rights)
    (tree / "html/sub/inherits.php").touch()
    hand_over(tree)
    for path in [tree, *tree.rglob("*")]:
        if not path.is_symlink():
            assert not path.stat().st_mode & stat.S_IWOTH
            assert os.listxattr(path) == []


@as_root
@pytest.mark.root
def test_two_names_of_a_built_file_become_two_files(tree: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "node_modules.js"
    elsewhere.write_text("js")
    os.link(elsewhere, tree / "html/a.js")
    lent(tree)
    os.utime(elsewhere, (5, 5))
    hand_over(tree)
    built = (tree / "html/a.js").stat()
    assert (built.st_nlink, built.st_uid, built.st_mtime) == (1, 33, 5)
    assert (elsewhere.stat().st_uid, elsewhere.stat().st_nlink) == (BUILD, 1)
    os.link(tree / "html/a.js", tree / "html/b.js")
    lent(tree)
    hand_over(tree, None)
    assert [(tree / name).stat().st_nlink for name in ("html/a.js", "html/b.js")] == [1, 1]


@as_root
@pytest.mark.root
def test_of_the_attributes_only_access_lists_are_taken_away(tree: Path) -> None:
    for path in (tree / "html", tree / "html/index.php"):
        os.setxattr(path, "user.origin", b"here")
        os.setxattr(path, "system.posix_acl_access", access_list((1, 7, ANYBODY), (4, 5, ANYBODY), (0x20, 5, ANYBODY)))
    lent(tree)
    hand_over(tree)
    assert [os.listxattr(path) for path in (tree / "html", tree / "html/index.php")] == [["user.origin"]] * 2


@as_root
@pytest.mark.root
@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.ENOSYS, errno.EIO])
def test_a_file_system_without_attributes_will_do_and_one_that_fails_does_not(
    tree: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(fd: int) -> list[str]:
        raise OSError(number, os.strerror(number))

    lent(tree)
    monkeypatch.setattr(os, "listxattr", fail)
    with pytest.raises(OSError, match="Input/output error") if number == errno.EIO else nullcontext():
        hand_over(tree)


@pytest.mark.parametrize("kind", ["gone", "link", "directory"])
def test_what_changes_while_it_is_taken_over_is_refused_by_name(
    tree: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards files outside from a build that still runs, and the operator from an error without a path."""

    def exchange(path: str, info: os.stat_result) -> None:
        if path == "html/index.php":
            (tree / path).rename(tmp_path / "aside")
            if kind == "link":
                (tree / path).symlink_to("/etc/passwd")
            elif kind == "directory":
                (tree / path).mkdir()

    monkeypatch.setattr(ownership, "refuse_sparse", exchange)
    with pytest.raises(BuildError, match=r"html/index\.php"):
        hand_over(tree, (os.geteuid(), os.getegid()))


def test_a_file_of_holes_is_refused_by_name(tree: Path) -> None:
    with (tree / "html/holes").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(BuildError, match="html/holes"):
        hand_over(tree, None)


@as_root
@pytest.mark.root
def test_a_directory_over_a_link_while_it_is_made_anew_is_refused_by_name(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exchange(*arguments: Any, **more: Any) -> None:
        (tree / "html/sub/link").unlink()
        (tree / "html/sub/link").mkdir()
        replace(*arguments, **more)

    replace = safefs.replace_symlink
    lent(tree)
    monkeypatch.setattr(safefs, "replace_symlink", exchange)
    with pytest.raises(BuildError, match="'html/sub/link' changed while"):
        hand_over(tree)


@pytest.mark.parametrize("kind", ["fifo", "socket"])
def test_what_is_no_file_is_refused_without_waiting_for_it(
    tree: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tree / "html/odd"
    if kind == "fifo":
        os.mkfifo(path)
    else:
        with socket.socket(socket.AF_UNIX) as listening:
            monkeypatch.chdir(path.parent)
            listening.bind("odd")
    for look in (lambda: hand_over(tree, None), lambda: mark(tree)):
        with pytest.raises(BuildError, match="html/odd"):
            look()


def mark(tree: Path) -> tree_snapshot.Snapshot:
    with safefs.opened_root(tree) as fd:
        return tree_snapshot.take(fd)


def test_a_tree_that_is_too_deep_is_refused(tree: Path) -> None:
    deep = tree
    for _ in range(tree_snapshot.DEEPEST + 2):
        deep /= "d"
    deep.mkdir(parents=True)
    for look in (lambda: hand_over(tree, None), lambda: mark(tree)):
        with pytest.raises(BuildError, match="levels deep"):
            look()


def changes(before: tree_snapshot.Snapshot, tree: Path, builder: int | None = None) -> tree_snapshot.Changes:
    with safefs.opened_root(tree) as fd:
        return tree_snapshot.changes(before, fd, builder)


def test_changes_are_what_was_added_changed_and_removed(tree: Path) -> None:
    for name in ("stays", "changes", "goes"):
        (tree / name).write_text(name)
    before = mark(tree)
    (tree / "changes").write_text("other!!")
    (tree / "goes").unlink()
    (tree / "html/new").write_text("new")
    (tree / "a link").symlink_to("x")
    (tree / "folder").mkdir(0o750)
    assert changes(before, tree) == tree_snapshot.Changes(
        ("changes", "html/new"), ("a link",), {"folder": 0o750}, ("goes",)
    )


def test_a_change_that_hides_its_time_and_size_is_seen(tree: Path) -> None:
    before = mark(tree)
    path = tree / "html/index.php"
    info = path.stat()
    path.write_text("54321")
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
    assert changes(before, tree).files == ("html/index.php",)


def test_a_tree_that_was_not_touched_has_no_changes(tree: Path) -> None:
    assert changes(mark(tree), tree) == tree_snapshot.Changes((), (), {}, ())
    copy = tree.parent / "copy"
    shutil.copytree(tree, copy, symlinks=True)
    assert changes(mark(tree), copy).files == ("html/index.php",)
