"""Versions with every kind of entry, for hypothesis: drawn as plain values, then made on the disk."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hypothesis import strategies as st

LARGE = 300_000
"""More than a dedupe holds in memory: compared block by block."""
CONTENTS = (
    b"",
    b"<?php a;\n" * 40,
    b"<?php b;\n" * 40,
    b"<?php a;\n" * 39 + b"<?php c;\n",
    b"L" * LARGE,
    b"L" * (LARGE - 1) + b"l",
)
_AS_ROOT = os.geteuid() == 0
_OWNERS = ((33, 33), (33, 33), (33, 33), (1000, 33)) if _AS_ROOT else ((-1, -1),)
_NAMES = (b"a", b"b", b"index.php", b".htaccess", b"two\nlines", b"\xff\xfe", "à é".encode(), b"-rf", b"config.php")
_PLACES = (
    (b"html",),
    (b"html", b"a"),
    (b"system", b"ee"),
    (b"system", b"user", b"config"),
    (b"system", b"user", b"templates", b"a"),
    (b"d",) * 70,
)


@dataclass(frozen=True, slots=True)
class File:
    """A regular file; with `sparse` a hole comes after its content."""

    content: int
    mode: int = 0o644
    owner: tuple[int, int] = _OWNERS[0]
    note: bytes = b""
    sparse: bool = False


@dataclass(frozen=True, slots=True)
class Other:
    """What is no file: a link, a special file, a directory, or one more name of a file of this version or of none."""

    kind: Literal["link", "fifo", "socket", "device", "directory", "hard link", "link to outside"]


Entry = File | Other
Tree = dict[tuple[bytes, ...], Entry]

_files = st.builds(
    File,
    content=st.integers(0, len(CONTENTS) - 1),
    mode=st.sampled_from((0o644, 0o644, 0o644, 0o600, 0o755)),
    owner=st.sampled_from(_OWNERS),
    note=st.sampled_from((b"", b"", b"", b"1", b"2")),
    sparse=st.sampled_from((False, False, False, False, True)),
)
_others = st.builds(
    Other, st.sampled_from(("link", "fifo", "socket", "device", "directory", "hard link", "link to outside"))
)
_entries = st.one_of(_files, _files, _files, _others)
_paths = st.tuples(st.sampled_from(_PLACES), st.sampled_from(_NAMES)).map(lambda two: (*two[0], two[1]))


@st.composite
def versions(draw: st.DrawFn) -> list[Tree]:
    """Draw versions that have most in common, as releases have."""
    common = draw(st.dictionaries(_paths, _entries, min_size=1, max_size=10))
    number = draw(st.integers(2, 4))
    changes = st.dictionaries(st.one_of(st.sampled_from(sorted(common)), _paths), st.none() | _entries, max_size=4)
    found = []
    for _ in range(number):
        merged: dict[tuple[bytes, ...], Entry | None] = {**common, **draw(changes)}
        found.append({path: entry for path, entry in merged.items() if entry is not None})
    return found


def make_tree(root: Path, tree: Tree, outside: Path, when: int) -> None:
    """Make a version; an entry whose place is taken by one of another kind is left out."""
    for part in ("html", "system"):
        (root / part).mkdir(parents=True)
    files: list[bytes] = []
    for number, (path, entry) in enumerate(tree.items()):
        full = os.path.join(os.fsencode(root), *path)
        with suppress(FileExistsError, NotADirectoryError):
            os.makedirs(os.path.dirname(full), exist_ok=True)
            _make(full, entry, files, os.fsencode(outside / str(number)))
            if isinstance(entry, File):
                files.append(full)
                os.utime(full, (when, when))


def _make(path: bytes, entry: Entry, files: list[bytes], outside: bytes) -> None:
    if isinstance(entry, File):
        _make_file(path, entry)
        return
    match entry.kind:
        case "link":
            os.symlink(b"../nowhere", path)
        case "fifo":
            os.mkfifo(path)
        case "socket":
            os.mknod(path, stat.S_IFSOCK | 0o600)
        case "device" if _AS_ROOT:
            os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
        case "directory":
            os.mkdir(path)
        case "hard link" if files:
            os.link(files[0], path)
        case "link to outside":
            with suppress(FileExistsError):
                _make_file(outside, File(1))
            os.link(outside, path)


def _make_file(path: bytes, entry: File) -> None:
    with open(path, "xb") as file:
        file.write(CONTENTS[entry.content])
        if entry.sparse:
            file.truncate(LARGE * 3)
        os.fchown(file.fileno(), *entry.owner)
        os.fchmod(file.fileno(), entry.mode)
        if entry.note:
            os.setxattr(file.fileno(), "user.note", entry.note)
