"""The events of runs for any number of readers: each file is read once a change, whoever follows it."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from functools import cached_property

from asyncinotify import Inotify, Mask, Watch

from govma_console.narration import plain_text
from govma_core.errors import UsageError
from govma_core.events import Event, LogLine, RunFinished, from_json, to_json
from govma_core.runs.store import RunRecord, RunStore
from govma_core.text.language import tr

_IS_OUTPUT = b'"level":"output"'
"""What only lines of output hold: within a text the quotes would be escaped."""
_PLAIN_OUTPUT = re.compile(rb'\{"event":"log","at":[0-9.e+]+,"level":"output","text":"([^"\\\x00-\x1f]*)"\}\n')
"""Output without anything that JSON escapes, as most is."""
_BEFORE, _AFTER = plain_text(LogLine(0.0, "output", "\0")).encode().split(b"\0")


class Block:
    """Some events of a run, in order, as they are in the file from `offset` on; read as far as somebody asks."""

    def __init__(self, data: bytes, offset: int) -> None:
        self._lines = data.splitlines(keepends=True)
        self._offset = offset
        self.behind = offset + len(data)

    @classmethod
    def of(cls, event: Event, behind: int) -> Block:
        """Return one event that is not in the file, as if it ended at this offset."""
        data = f"{to_json(event)}\n".encode("utf-8", "replace")
        return cls(data, behind - len(data))

    @property
    def empty(self) -> bool:
        """True when there was nothing more to read."""
        return not self._lines

    @cached_property
    def finished(self) -> RunFinished | None:
        """Return the end of the run when it is in here; nothing comes after it."""
        last = from_json(self._lines[-1]) if self._lines and _IS_OUTPUT not in self._lines[-1] else None
        return last if isinstance(last, RunFinished) else None

    @property
    def told(self) -> list[Event]:
        """Return the events that are not a program's output."""
        found = (from_json(line) for line in self._lines if _IS_OUTPUT not in line)
        return [event for event in found if event is not None]

    @cached_property
    def text(self) -> bytes:
        """Return the events as lines of the plain log, without the end of the run: that is told as an answer wants."""
        return b"".join(map(_plain, self._lines))

    @cached_property
    def server_sent(self) -> bytes:
        """Return the events in the format of the WHATWG HTML standard, "Server-sent events"; ids are offsets."""
        parts = []
        behind = self._offset
        for line in self._lines:
            behind += len(line)
            event = from_json(line)
            if event is not None:
                parts.append(f"id: {behind}\nevent: {event.kind}\ndata: {to_json(event)}\n\n")
        return "".join(parts).encode("utf-8", "replace")


def _plain(line: bytes) -> bytes:
    match = _PLAIN_OUTPUT.fullmatch(line)
    if match is not None:
        return _BEFORE + match[1] + _AFTER
    event = from_json(line)
    return b"" if event is None or isinstance(event, RunFinished) else plain_text(event).encode("utf-8", "replace")


log = logging.getLogger("govma.feeds")

_BLOCK = 1 << 16
_KEPT = 4
_LOOK = 1.0
"""Seconds after which a follower looks for itself: a runner that was killed changes no file."""
_LOOK_FOR_RUNS = 5.0
_EVENTS = "events.jsonl"
_LAST_WORDS = 2.0
"""Seconds a runner whose record says that it has ended gets to write so into its events, while it lives."""
_TICK = 0.01
_CHANGES = Mask.MODIFY | Mask.CREATE | Mask.MOVED_TO


class Feed:
    """The events file of one run, with the blocks that were read last."""

    def __init__(self, store: RunStore, run_id: str) -> None:
        self.store = store
        self.run_id = run_id
        self.followers: set[asyncio.Event] = set()
        self._path = store.path(run_id) / _EVENTS
        self._blocks: OrderedDict[int, Block] = OrderedDict()
        self._record: RunRecord | None = None
        self._looked = 0.0

    def changed(self, name: str = "") -> None:
        """Wake the followers; `name` is the file that changed, if that is known."""
        if name != _EVENTS:
            self._looked = -_LOOK
        for follower in self.followers:
            follower.set()

    def record(self) -> RunRecord:
        """Return the run's record, as it was a moment ago at most; UsageError when it was removed."""
        now = time.monotonic()
        if self._record is None or now - self._looked >= _LOOK:
            self._record, self._looked = self.store.read(self.run_id), now
        return self._record

    def block(self, offset: int) -> Block:
        """Return the events from a byte offset on, as many as fit a block; an empty one at the present end."""
        block = self._blocks.get(offset)
        if block is None:
            block = self._read(offset)
            if block.behind > offset:
                self._blocks[offset] = block
                if len(self._blocks) > _KEPT:
                    self._blocks.popitem(last=False)
        return block

    def _read(self, offset: int) -> Block:
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return Block(b"", offset)
        try:
            data = os.pread(fd, _BLOCK, offset)
            while len(data) % _BLOCK == 0 and data and b"\n" not in data[-_BLOCK:]:
                # A line longer than a block.
                more = os.pread(fd, _BLOCK, offset + len(data))
                if not more:
                    break
                data += more
        finally:
            os.close(fd)
        return Block(data[: data.rfind(b"\n") + 1], offset)


class Feeds:
    """The feeds of one run store, and the kernel's word of when their files change."""

    def __init__(self, store: RunStore) -> None:
        self.store = store
        self._feeds: dict[str, Feed] = {}
        self._inotify = _kernel(store)
        self._watches: dict[str, Watch] = {}
        self._runs_changed = asyncio.Event()

    async def run(self) -> None:
        """Pass the kernel's word on, until cancelled; without it, all is looked at from time to time."""
        inotify = self._inotify
        if inotify is None:
            await asyncio.Event().wait()
            return
        with inotify:
            loop = asyncio.get_running_loop()
            # Not `async for`: that takes two more rounds of the loop until a line is on its way.
            loop.add_reader(inotify.fd, self._pass_on, inotify)
            try:
                await asyncio.Event().wait()
            finally:
                self._inotify = None
                loop.remove_reader(inotify.fd)

    def _pass_on(self, inotify: Inotify) -> None:
        for event in inotify:
            if event.watch is None:
                # The kernel's queue ran over: anything may have changed.
                self._runs_changed.set()
                for feed in self._feeds.values():
                    feed.changed()
            elif event.watch.path == self.store.directory:
                self._runs_changed.set()
            elif (changed := self._feeds.get(event.watch.path.name)) is not None:
                changed.changed(str(event.name or ""))

    async def new_run(self) -> None:
        """Wait until a run may have been asked for."""
        with suppress(TimeoutError):
            # The directory may have been made anew: then the kernel says nothing.
            async with asyncio.timeout(_LOOK_FOR_RUNS):
                await self._runs_changed.wait()
        self._runs_changed.clear()

    async def follow(self, run_id: str, offset: int, wake: asyncio.Event) -> AsyncGenerator[Block, None]:
        """Yield the events from a byte offset on until the run ends; an empty block when `wake` was set by the caller.

        The last block holds a RunFinished, made up for a run that could not write one.
        """
        feed = self._enter(run_id, wake)
        patience = _LAST_WORDS
        try:
            while True:
                wake.clear()
                try:
                    ended = feed.record().ended
                except UsageError:
                    # Records of old runs are removed.
                    return
                block = feed.block(offset)
                if block.behind == offset and ended:
                    if patience > 0 and feed.record().process.alive():
                        # The record is written before the last event: made up as well, that would be told twice.
                        patience -= _TICK
                        await asyncio.sleep(_TICK)
                        continue
                    yield Block.of(_made_up(feed.record()), offset)
                    return
                yield block
                if block.finished:
                    return
                # Whoever catches up with a long log lets others have their turn.
                await asyncio.sleep(0)
                if block.behind == offset:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_LOOK):
                            await wake.wait()
                offset = block.behind
        finally:
            self._leave(feed, wake)

    async def end(self, run_id: str, wake: asyncio.Event, gone: Callable[[], bool]) -> RunFinished:
        """Wait for the end of a run, or until nobody waits for it any more: then what it is at now."""
        feed = self._enter(run_id, wake)
        try:
            while True:
                wake.clear()
                record = feed.record()
                if record.ended or gone():
                    return _made_up(record)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK):
                        await wake.wait()
        finally:
            self._leave(feed, wake)

    def _enter(self, run_id: str, wake: asyncio.Event) -> Feed:
        feed = self._feeds.get(run_id)
        if feed is None:
            feed = self._feeds[run_id] = Feed(self.store, run_id)
            # Without it, followers look once a second.
            if self._inotify is not None:
                with suppress(OSError):
                    self._watches[run_id] = self._inotify.add_watch(self.store.path(run_id), _CHANGES)
        feed.followers.add(wake)
        return feed

    def _leave(self, feed: Feed, wake: asyncio.Event) -> None:
        feed.followers.discard(wake)
        if not feed.followers:
            self._feeds.pop(feed.run_id, None)
            watch = self._watches.pop(feed.run_id, None)
            if watch is not None and self._inotify is not None:
                with suppress(OSError, ValueError):
                    self._inotify.rm_watch(watch)


def _kernel(store: RunStore) -> Inotify | None:
    """Begin to listen for new runs; None when the kernel has no more of that to give."""
    inotify = None
    try:
        inotify = Inotify(sync_timeout=0)
        inotify.add_watch(store.directory, Mask.CREATE | Mask.MOVED_TO | Mask.ONLYDIR)
    except OSError as error:
        if inotify is not None:
            inotify.close()
        log.warning(
            "%s",
            tr(
                "The kernel does not tell of changes (inotify: {strerror}): logs are looked at once a second, new runs "
                "every few seconds. Raise the sysctl fs.inotify.max_user_instances and max_user_watches, then restart.",
                strerror=error.strerror or error,
            ),
        )
        return None
    return inotify


def _made_up(record: RunRecord) -> RunFinished:
    code = 1 if record.exit_code is None else record.exit_code
    return RunFinished(record.finished or time.time(), record.state, code, record.message)
