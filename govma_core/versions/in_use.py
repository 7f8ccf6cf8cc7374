"""Which versions something on this machine uses: processes by what /proc shows of them, and mounts.

What belongs to other users is seen by root only.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from govma_core.language import tr
from govma_core.text import clean_line
from govma_core.versions.names import OURS, POINTER
from govma_core.versions.proc_paths import Ours, Shown, content, link, stands_at

Uses = dict[str, list[str]]
"""By version: who uses it, each as a piece of a sentence, such as `php (pid 42): open file`."""

_TOOL = (b"govma-console", b"govma_console", b"govma_core.runs.runner")


def in_use(versions_dir: Path, names: Collection[str], proc: str = "/proc") -> Uses:
    """Return which of these versions are used, and by whom.

    Ourselves and our parents don't count (an operator may stand in a version and prune from there), nor do consoles of
    this program, which only look. Processes that end meanwhile are passed over.
    """
    uses: Uses = {}
    ours = Ours(versions_dir, names)
    own = _ourselves(proc)
    home = link(f"{proc}/self/ns/mnt")
    spaces = {b""}
    # Our own pid first: each mount namespace is looked at once, and ours as we see it.
    for pid in (os.getpid(), *(int(name) for name in os.listdir(proc) if name.isdigit())):
        directory = f"{proc}/{pid}"
        space = link(f"{directory}/ns/mnt")
        shown = Shown(directory, "" if space == home else f"{directory}/root", ours)
        if space not in spaces:
            spaces.add(space)
            where = "" if space == home else tr(" in the namespace of {called}", called=_called(directory))
            _note(
                uses,
                {
                    name: tr("a mount at {point}{where}", point=point, where=where)
                    for name, point in shown.mounted().items()
                },
            )
        if pid not in own and not _is_console(directory):
            _note(uses, {name: f"{_called(directory)}: {what}" for name, what in shown.used().items()})
    return uses


def on_paths(versions_dir: Path, names: Collection[str], paths: Iterable[str]) -> set[str]:
    """Return which of these versions a path of this machine leads to or into."""
    ours = Ours(versions_dir, names)
    seen = [found for path in paths for found in ours.seen_in(os.fsencode(path))]
    return {name for name, identity, place in seen if stands_at(identity, place)}


def linked(versions_dir: Path, names: Collection[str]) -> dict[str, list[str]]:
    """Return by version the links of people's own beside the versions that lead to it or into it."""
    found: dict[str, list[str]] = {}
    with os.scandir(versions_dir) as entries:
        links = sorted(entry.name for entry in entries if entry.is_symlink())
    for name in links:
        if name == POINTER or OURS.fullmatch(name):
            continue
        with suppress(FileNotFoundError):
            for part in set(Path(os.path.normpath(os.readlink(versions_dir / name))).parts) & set(names):
                found.setdefault(part, []).append(clean_line(name))
    return found


def _note(uses: Uses, seen: dict[str, str]) -> None:
    for name, who in seen.items():
        uses.setdefault(name, []).append(who)


def _called(directory: str) -> str:
    # Whoever owns the process chose its name.
    name = clean_line(content(f"{directory}/comm").decode("utf-8", "replace").strip())
    return tr("{name} (pid {rpartition})", name=name or tr("a process"), rpartition=directory.rpartition("/")[2])


def _is_console(directory: str) -> bool:
    words: Iterable[bytes] = content(f"{directory}/cmdline").split(b"\0")[:5]
    return any(word.rpartition(b"/")[2] in _TOOL for word in words)


def _ourselves(proc: str) -> set[int]:
    pids: set[int] = set()
    pid = os.getpid()
    while pid > 0 and pid not in pids:
        pids.add(pid)
        stat = content(f"{proc}/{pid}/stat")
        # The name in parentheses may hold anything: the fields begin behind the last one.
        fields = stat[stat.rfind(b")") + 2 :].split()
        pid = int(fields[1]) if len(fields) > 1 else 0
    return pids
