"""Dedupe on drawn versions with every kind of entry: nobody can tell afterwards, but by the free space."""

from __future__ import annotations

import os
import stat
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from govma_core.disk import dedupe, usage
from govma_core.settings import Settings
from govma_core.text.globs import globs
from tests.support.du import assert_is_du
from tests.support.pictures import Identity, Seen, copied, differences, disk_usage, identities, picture
from tests.support.random_trees import Tree, make_tree, versions
from tests.support.releases import NAMES, Releases

_FITS = globs(Settings().keep_single).fullmatch
_SETTINGS = settings(max_examples=50, suppress_health_check=list(HealthCheck))
_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
_CURRENTS = st.none() | st.integers(0, 1)

pytestmark = pytest.mark.slow

Identities = dict[bytes, Identity]


@contextmanager
def _made(trees: list[Tree], current: int | None) -> Iterator[tuple[Releases, Path]]:
    """Yield the versions, and a directory on the same disk with other names of some of their files."""
    # In memory: a dedupe syncs, and hundreds of syncs of a disk take their time.
    with tempfile.TemporaryDirectory(prefix="govma-dedupe-", dir=_MEMORY) as folder:
        releases, outside = Releases(Path(folder) / "site"), Path(folder) / "outside"
        outside.mkdir()
        for number, tree in enumerate(trees):
            make_tree(releases.directory / NAMES[number], tree, outside, 1_600_000_000 + number)
        if current is not None:
            releases.live(NAMES[current])
        yield releases, outside


@_SETTINGS
@given(trees=versions(), current=_CURRENTS, anywhere=st.booleans())
def test_everything_reads_as_before_and_the_freed_bytes_are_true(
    trees: list[Tree], current: int | None, anywhere: bool
) -> None:
    with _made(trees, current) as (releases, outside):
        before, copy = picture(releases.directory), copied(releases.directory, releases.root / "copy")
        os.sync()
        used = disk_usage(releases.directory, outside)
        result = dedupe.run(releases.context(), anywhere=anywhere).details
        os.sync()
        event(f"linked: {bool(result['linked'])}")
        assert picture(releases.directory) == before
        assert differences(releases.directory, copy) == []
        assert result["freed"] == used - disk_usage(releases.directory, outside)
        assert_is_du(usage.account(releases.context()), releases.directory)


@_SETTINGS
@given(trees=versions(), current=_CURRENTS, anywhere=st.booleans())
def test_the_live_version_is_untouched_and_a_second_time_does_nothing(
    trees: list[Tree], current: int | None, anywhere: bool
) -> None:
    with _made(trees, current) as (releases, _):
        before = identities(releases.directory)
        dedupe.run(releases.context(), anywhere=anywhere)
        after = identities(releases.directory)
        if current is not None:
            live = os.fsencode(NAMES[current]) + b"/"
            assert _below(live, after) == _below(live, before)
            sharing_before, sharing_after = _sharing(before), _sharing(after)
            for path, identity in _below(live, after).items():
                if _FITS(os.fsdecode(path.removeprefix(live))):
                    assert sharing_after[identity.inode] <= sharing_before[identity.inode], path
        again = dedupe.run(releases.context(), anywhere=anywhere).details
        assert (again["linked"], again["freed"]) == (0, 0)
        assert identities(releases.directory) == after


@_SETTINGS
@given(trees=versions(), current=_CURRENTS)
def test_what_is_equal_at_one_path_is_one_inode_and_nothing_else_is(trees: list[Tree], current: int | None) -> None:
    with _made(trees, current) as (releases, _):
        before, looks = identities(releases.directory), picture(releases.directory)
        dedupe.run(releases.context())
        after = identities(releases.directory)
        live = os.fsencode(NAMES[current]) if current is not None else b""
        single = {after[p].inode for p in _below(live + b"/", after) if _FITS(os.fsdecode(p.partition(b"/")[2]))}
        equal: dict[tuple[bytes, Seen], set[int]] = defaultdict(set)
        for path, identity in after.items():
            full = os.path.join(os.fsencode(releases.directory), path)
            info, look = os.lstat(full), looks[full]
            whole = stat.S_ISREG(look.mode) and info.st_size and info.st_blocks * 512 >= info.st_size
            if whole and not (live and identity.inode in single):
                equal[path.partition(b"/")[2], look].add(identity.inode)
        assert {path: inodes for (path, _), inodes in equal.items() if len(inodes) > 1} == {}
        _assert_joined_at_one_path_only(before, after)


def _assert_joined_at_one_path_only(before: Identities, after: Identities) -> None:
    """Two paths of one version become one inode only where links between such paths were there already."""
    linked: dict[bytes, set[bytes]] = {}
    for names in _sharing(before).values():
        inside = {name.partition(b"/")[2] for name in names}
        group = inside.union(*(linked.get(path, ()) for path in inside))
        linked.update(dict.fromkeys(group, group))
    for names in _sharing(after).values():
        for a in names:
            for b in names:
                (version_a, _, inside_a), (version_b, _, inside_b) = a.partition(b"/"), b.partition(b"/")
                assert version_a != version_b or inside_b in linked[inside_a], (a, b)


def _below(start: bytes, identities: Identities) -> Identities:
    return {path: identity for path, identity in identities.items() if path.startswith(start)}


def _sharing(identities: Identities) -> dict[int, set[bytes]]:
    """Return the paths of each inode."""
    names: dict[int, set[bytes]] = defaultdict(set)
    for path, identity in identities.items():
        names[identity.inode].add(path)
    return names
