"""The events of runs for any number of followers: each reads the run's file by itself, one watch wakes them all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager, suppress

from asyncinotify import Inotify, Mask, Watch

from govma_core.errors import UsageError
from govma_core.runs.log import LogFollower, Piece
from govma_core.runs.store import RunStore
from govma_core.text.language import tr

log = logging.getLogger("govma.feeds")

_POLL_SECONDS = 1.0
"""Seconds after which a follower looks for itself: a runner that was killed changes no file."""
_POLL_NEW_RUNS_SECONDS = 5.0
_CHANGES = Mask.MODIFY | Mask.CREATE | Mask.MOVED_TO


class RunFeed:
    """Follows the runs of one store; the kernel (inotify) tells when their files change."""

    def __init__(self, store: RunStore) -> None:
        self.store = store
        self._inotify = _open_inotify(store)
        self._watches: dict[str, Watch] = {}
        self._followers: dict[str, set[asyncio.Event]] = {}
        self._new_run = asyncio.Event()

    async def watch(self) -> None:
        """Wake followers when their run's files change, until cancelled; without inotify they look once a second."""
        inotify = self._inotify
        if inotify is None:
            await asyncio.Event().wait()
            return
        with inotify:
            loop = asyncio.get_running_loop()
            # Not `async for`: that takes two more rounds of the loop until a line is on its way.
            loop.add_reader(inotify.fd, self._wake_followers, inotify)
            try:
                await asyncio.Event().wait()
            finally:
                self._inotify = None
                loop.remove_reader(inotify.fd)

    async def wait_for_new_run(self) -> None:
        """Wait until a run may have been created."""
        # The directory may have been made anew: then the kernel says nothing.
        await _wait(self._new_run, _POLL_NEW_RUNS_SECONDS)
        self._new_run.clear()

    async def follow(self, run_id: str, offset: int = 0, *, to_end: bool = True) -> AsyncGenerator[Piece, None]:
        """Yield a run's events from a byte offset on, until the run ends or its record is removed.

        An empty piece stands for a second in which nothing came. With `to_end` False only what is there now is read.
        The last piece of an ended run holds its RunFinished.
        """
        follower = LogFollower(self.store, run_id, offset)
        with self._wake_event(run_id) as wake, suppress(UsageError):
            has_news = False
            while True:
                wake.clear()
                piece = follower.read()
                # Behind news the record is not looked at: a log that grows would cost a look for each follower.
                if piece is None and not (has_news and to_end):
                    piece = follower.read_end()
                has_news = piece is not None
                if piece is not None:
                    yield piece
                    if piece.finished:
                        return
                    # A follower that catches up with a long log leaves others their turn.
                    await asyncio.sleep(0)
                elif not to_end and not follower.has_ended:
                    return
                elif not await _wait(wake, _POLL_SECONDS):
                    yield Piece(b"", follower.offset)

    def _wake_followers(self, inotify: Inotify) -> None:
        for event in inotify:
            if event.watch is None:
                # The kernel's queue ran over: anything may have changed.
                affected = {self._new_run}.union(*self._followers.values())
            elif event.watch.path == self.store.directory:
                affected = {self._new_run}
            else:
                affected = self._followers.get(event.watch.path.name, set())
            for wake in affected:
                wake.set()

    @contextmanager
    def _wake_event(self, run_id: str) -> Iterator[asyncio.Event]:
        """Give the block an event that is set at each change of a run's files."""
        wake = asyncio.Event()
        followers = self._followers.setdefault(run_id, set())
        if not followers and self._inotify is not None:
            with suppress(OSError):
                self._watches[run_id] = self._inotify.add_watch(self.store.path(run_id), _CHANGES)
        followers.add(wake)
        try:
            yield wake
        finally:
            followers.discard(wake)
            if not followers:
                self._followers.pop(run_id, None)
                watch = self._watches.pop(run_id, None)
                if watch is not None and self._inotify is not None:
                    with suppress(OSError, ValueError):
                        self._inotify.rm_watch(watch)


async def _wait(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event, which is set after these seconds at the latest; return whether it came before."""
    # Not a time-out around the wait: that costs several times as much, and each line of a log is waited for.
    loop = asyncio.get_running_loop()
    timer = loop.call_later(seconds, event.set)
    try:
        await event.wait()
    finally:
        timer.cancel()
    return loop.time() < timer.when()


def _open_inotify(store: RunStore) -> Inotify | None:
    """Watch for new runs; None when the kernel has no more watches."""
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
