"""Visitors of a site: several at once that ask without pause, and remember what went wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from govma_core.promotion.web_page import Address, NoAnswerError, ask
from tests.support.php_site import parts


class _AtOnce:
    """Threads that run for the time of the block; they look at `_stop`."""

    _threads: list[threading.Thread]

    def __init__(self) -> None:
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


class Load(_AtOnce):
    """Asks for the paths in turn, from `at_once` threads, for the time of the block."""

    def __init__(self, address: Address, paths: Sequence[str], at_once: int = 4) -> None:
        self._address = address
        self._paths = paths
        super().__init__()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._visit) for _ in range(at_once)]
        self.answers = 0
        self.failed: list[str] = []
        self.mixed = 0

    def _visit(self) -> None:
        while not self._stop.is_set():
            for path in self._paths:
                failed, versions = "", set[str]()
                try:
                    answer = ask(self._address, path, timeout=10)
                    versions = parts(answer.text)
                    failed = "" if answer.status == 200 and versions else f"{path}: {answer.status}"
                except NoAnswerError as error:
                    failed = f"{path}: {error}"
                with self._lock:
                    self.answers += 1
                    self.mixed += len(versions) > 1
                    if failed:
                        self.failed.append(failed)


class Witness(_AtOnce):
    """Asks one page from several threads, and remembers the moments of the switch and of the last stale answer.

    Moments are time.monotonic(): `switched` when the static file first was another one, `last` 0 when none was stale.
    """

    def __init__(self, address: Address, before: str, at_once: int = 4) -> None:
        self._address = address
        self._before = before
        super().__init__()
        self._threads = [threading.Thread(target=self._ask) for _ in range(at_once)]
        self._threads.append(threading.Thread(target=self._look))
        self.switched = 0.0
        self.last = 0.0

    def _look(self) -> None:
        while not self._stop.is_set() and not self.switched:
            if self._before not in parts(ask(self._address, "/static.txt").text):
                self.switched = time.monotonic()

    def _ask(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            stale = self._before in parts(ask(self._address, "/").text)
            if stale and self.switched and began > self.switched:
                self.last = max(self.last, began)
