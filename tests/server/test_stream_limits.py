"""Nobody takes what others need: places for logs, and the kernel's watches."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message

from govma_console.server import run_feed, stream
from govma_console.server.connection import ABORT, PEER
from govma_console.server.limits import Slots
from govma_console.server.peer import Peer
from govma_console.server.state import Site
from govma_core.events import Progress, StageStarted
from govma_core.process.proc import ProcessId
from govma_core.runs.log import EventLog, Piece
from tests.support.asking import ask, asked
from tests.support.command import Command
from tests.support.gates import held_deploy
from tests.support.rights import as_root
from tests.support.sample import create_sample
from tests.support.sites import make_site
from tests.support.waiting import PATIENCE, wait_for

_NOBODY = 65534


def test_places_are_shared_between_callers_and_given_back() -> None:
    slots, one, other, root = Slots(4), Peer(uid=33), Peer(uid=1000), Peer(uid=0)
    with slots.occupy(one), slots.occupy(one):
        assert [slots.has_room(each) for each in (one, other, root)] == [False, True, True]
        with slots.occupy(other), slots.occupy(root):
            assert not slots.has_room(root)
    assert slots.has_room(one)
    assert slots.in_use == 0


@as_root
def test_one_user_of_the_machine_takes_half_of_the_places_for_logs_at_most(tmp_path: Path) -> None:
    """Guards root's look at a log from a user who opens as many as there may be."""
    with held_deploy(create_sample(tmp_path / "site"), max_streams=4) as (server, run_id):
        path = f"/api/v1/runs/{run_id}/log?follow=1"
        line = ["curl", "-sS", "-N", "-o", "/dev/null", "-w", "%{http_code}", f"{server.url}{path}"]
        nobody: dict[str, Any] = {"user": _NOBODY, "group": _NOBODY, "extra_groups": ()}
        calls = [subprocess.Popen(line, stdout=subprocess.PIPE, text=True, **nobody) for _ in range(4)]
        try:
            with asked(server, "GET", path) as mine:
                assert mine.status == 200
                wait_for(lambda: sum(call.poll() is not None for call in calls) == 2, "the answers to those beyond")
                refused = [call for call in calls if call.poll() is not None]
                assert [call.stdout.read() for call in refused if call.stdout] == ["503", "503"]
                assert ask(server, "GET", f"/api/v1/runs/{run_id}/log").status == 200
        finally:
            for call in calls:
                with call:
                    call.kill()


def test_a_client_that_reads_nothing_more_loses_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the places from clients that stall for good: the connection is cut, not closed in peace."""
    monkeypatch.setattr(stream, "STALLED_SECONDS", 0.05)
    site = Site(make_site(tmp_path / "site").settings)
    cut: list[bool] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def stalled() -> int:
        run_stream = stream.RunStream(site=site, run_id="none", render=stream.render_text, first=b"first\n")
        scope = {"http_version": "1.1", "method": "GET", PEER: Peer(uid=33), ABORT: lambda: cut.append(True)}
        await asyncio.wait_for(run_stream(scope, receive, send), PATIENCE)
        return site.streams.in_use

    assert asyncio.run(stalled()) == 0
    assert cut == [True]


def test_without_the_kernels_watches_logs_are_followed_more_slowly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Guards the server on a machine where others took all of them: a warning, and it works."""

    def none_left(**_: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(run_feed, "Inotify", none_left)
    sample = make_site(tmp_path / "site")
    with caplog.at_level(logging.WARNING):
        site = Site(sample.settings)
    assert "fs.inotify.max_user_instances" in caplog.text
    command = Command(sample.sample.config_file, sample.settings.state_dir)

    async def followed(run_id: str) -> bytes:
        helper = asyncio.create_task(site.feed.watch())
        log = b"".join([stream.render_text(piece) async for piece in site.feed.follow(run_id)])
        helper.cancel()
        return log

    process = command.start("deploy")
    try:
        run_id = command.wait_for_stage("preflight").id
        assert b"successfully deployed" in asyncio.run(followed(run_id))
    finally:
        process.communicate()


def test_a_run_without_output_is_told_of_by_lines_that_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards streams from proxies, which cut what is idle; progress is no line, and does not break the silence."""
    monkeypatch.setattr(stream, "SILENT_SECONDS", 0.2)
    monkeypatch.setattr(run_feed, "_POLL_SECONDS", 0.05)
    site = Site(make_site(tmp_path / "site").settings)
    run = site.store.create("deploy", {}, "ana", "test", settings={})
    log = EventLog(site.store.path(run.id) / "events.jsonl", 1 << 20)
    log.write(StageStarted(time.time() - 44, "assets"))

    async def sent(skip: int, render: Callable[[Piece], bytes], silence: Callable[[str], bytes]) -> bytes:
        body = b""

        async def send(message: Message) -> None:
            nonlocal body
            body += message["body"]

        run_stream = stream.RunStream(site=site, run_id=run.id, render=render, silence=silence, skip=skip)
        sending = asyncio.create_task(run_stream._send_body(send))
        for number in range(400):
            await asyncio.sleep(0.05)
            if b"assets, " in body:
                break
            if render is stream.render_text:
                log.write(Progress(time.time(), "assets", number, 400, "files"))
        assert not sending.done(), sending
        sending.cancel()
        return body

    plain = asyncio.run(sent(0, stream.render_text, stream.render_silence)).decode()
    assert re.fullmatch(r"== assets\n(… assets, \d+ s\n)+", plain)
    assert asyncio.run(sent(9, stream.render_text, stream.render_silence)).decode().startswith("\n… assets, ")
    events = asyncio.run(sent(0, stream.render_server_sent, stream.comment_silence)).decode()
    assert re.search(r"\n\n: assets, \d+ s\n\n", events)


def test_a_run_that_waits_is_told_of_as_what_it_is(tmp_path: Path) -> None:
    site = Site(make_site(tmp_path / "site").settings)
    run = site.store.create("deploy", {}, "ana", "test", settings={})
    process = ProcessId.current()
    waiting = dataclasses.replace(run, state="waiting", created=time.time() - 90)
    site.store.write(dataclasses.replace(waiting, pid=process.pid, pid_started=process.started, boot=process.boot))
    run_stream = stream.RunStream(site=site, run_id=run.id, render=stream.render_text)
    assert run_stream._doing(None) == "waiting, 1 min 30 s"
