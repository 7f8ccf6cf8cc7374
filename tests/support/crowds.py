"""Many clients of one server: callers at once, followers of one run, and those that stall or never finish to ask."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from govma_core.runs.store import RunRecord
from tests.support.calls import Call, call, gather, get
from tests.support.rights import passable
from tests.support.sample import SampleSite, create_sample
from tests.support.server import Server, configure
from tests.support.waiting import wait_for

_LINE = "line {} of a build that says a lot about very little\n"
_HALF = "GET /deploy HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Half-A-He"


class HeldBuild:
    """A small site whose build waits until it is released, and then prints so many lines."""

    def __init__(self, folder: Path, lines: int) -> None:
        folder.mkdir(exist_ok=True)
        passable(folder)
        self.lines = lines
        self._text = "".join(map(_LINE.format, range(lines)))
        self._go = folder / "go"
        (folder / "lines").write_text(self._text)
        self.site: SampleSite = create_sample(folder / "site", files=10, vendor_files=12)
        command = f"until [ -e {self._go} ]; do sleep 0.02; done; cat {folder / 'lines'}"
        configure(self.site, install_command=command, asset_inputs=[])

    def release(self) -> None:
        """Let the build that waits go on, and those to come."""
        self._go.touch()

    def told_whole(self, each: Call) -> bool:
        """Tell whether an answer is the complete log of a run that went well."""
        text = each.body.decode()
        indented = "".join(f"   {line}" for line in self._text.splitlines(keepends=True))
        return each.status == 200 and each.whole and indented in text and text.endswith(": ok, exit code 0\n")


def first_line(each: Call) -> bool:
    """Tell whether an answer's first line is there, which says which run it is about."""
    return bytes(each.data).partition(b"\r\n\r\n")[2].count(b"\n") > 1


def call_at_once(server: Server, build: HeldBuild, callers: int) -> tuple[list[RunRecord], list[Call]]:
    """Ask for a deploy so many times while the first one's build waits; give the runs and the whole answers."""
    calls = [get(server, "/deploy") for _ in range(callers)]
    try:
        gather(calls, until=first_line)
        build.release()
        gather(calls)
    finally:
        for each in calls:
            each.close()
    return list(server.runs.records()), calls


def follow_together(server: Server, build: HeldBuild, followers: int) -> list[Call]:
    """Have so many follow the log of a run that goes on, then let it end; give their whole answers."""
    starter = get(server, "/deploy")
    gather([starter], until=first_line)
    (run,) = server.runs.active()
    calls = [get(server, f"/api/v1/runs/{run.id}/log?follow=1") for _ in range(followers)]
    try:
        gather(calls, until=lambda each: b"== assets\n" in each.data)
        build.release()
        gather(calls)
    finally:
        for each in (starter, *calls):
            each.close()
    return calls


@dataclass(frozen=True, slots=True)
class Siege:
    """What a server came to with clients that never finish to ask, and clients that do not read."""

    honest: Call
    """One who asked for a deploy among them, and read."""
    healthy: list[int]
    """Statuses of short requests while all of them were there."""
    late: list[Call]
    """Those who began to read when their run had ended long ago."""
    descriptors_left: int
    """Files and connections open when all of them were gone, beyond those open before."""
    memory_grown: float
    """MiB resident when all of them were gone, beyond those before."""
    memory_peak: float


def besiege(server: Server, build: HeldBuild, *, half_open: int, stalled: int) -> Siege:
    """Send such clients, and a deploy among them; half of the stalled ones read at last, the others hang up."""
    descriptors = server.descriptors()
    build.release()
    # What a deploy takes for good is taken then.
    server.get("/deploy")
    wait_for(lambda: server.descriptors() <= descriptors, "the end of the first connection")
    memory = server.memory()
    halves = [call(server, _HALF) for _ in range(half_open)]
    mute = [get(server, "/deploy", receive_buffer=4096) for _ in range(stalled)]
    honest = get(server, "/deploy")
    late = mute[::2]
    try:
        gather([honest])
        wait_for(lambda: not server.runs.active(), "the runs' end")
        healthy = [server.get("/healthz").status for _ in range(10)]
        gather(late)
    finally:
        for each in (*halves, *mute, honest):
            each.close()
    wait_for(lambda: server.descriptors() <= descriptors, "the end of their connections")
    grown = server.memory() - memory
    return Siege(honest, healthy, late, server.descriptors() - descriptors, grown, server.memory(peak=True))
