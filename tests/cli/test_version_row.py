"""The state of a version in the words of the command and in those of the console."""

from __future__ import annotations

import pytest

from govma_console.version_row import VersionRow, build_rows
from govma_core.versions.manifest import Manifest
from govma_core.versions.marks import Mark, Pin
from govma_core.versions.store import Version, version_time

NAME = "data-build--2026-01-02-03h04m05s"


def row(*, result: str = "", mark: bool = False, pin: bool = False, complete: bool = True) -> VersionRow:
    """Return the row of a version; without a result it has no manifest."""
    manifest = Manifest(
        version=NAME, run="", commit="1" * 40, subject="Subject", author="Ana", committed=0.0, ref="", by="ana",
        origin="cli", started=0.0, finished=1.0, result=result,
    )  # fmt: skip
    (built,) = build_rows(
        [Version(NAME, version_time(NAME), complete)],
        NAME,
        manifest_of=lambda name: manifest if result else None,
        pins={NAME: Pin(NAME)} if pin else {},
        marks={NAME: Mark(NAME, "bad")} if mark else {},
        usage={},
        unread=False,
    )
    return built


@pytest.mark.parametrize(
    ("version", "reported", "in_console"),
    [
        (row(result="published"), "published", "good"),
        (row(result="published", pin=True), "published, pinned", "pinned"),
        (row(result="published", mark=True), "bad", "bad"),
        (row(result="published", mark=True, pin=True), "bad, pinned", "bad ★"),
        (row(result="published", complete=False), "incomplete", "incomplete"),
        (row(), "no manifest", "unknown"),
        (row(pin=True), "no manifest, pinned", "pinned"),
    ],
)
def test_a_state_reads_as_it_always_did(version: VersionRow, reported: str, in_console: str) -> None:
    assert (version.plain()["state"], version.cells()[-1], version.state) == (reported, reported, in_console)
