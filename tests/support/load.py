"""Visitors of a site: several at once that ask without pause, and remember what went wrong."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import TracebackType

from govma_core.live.pages import Address, NoAnswerError, ask
from tests.support.php_site import parts


class Load:
    """Asks for the paths in turn, from `at_once` threads, for the time of the block."""

    def __init__(self, address: Address, paths: Sequence[str], at_once: int = 4) -> None:
        self._address = address
        self._paths = paths
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._visit) for _ in range(at_once)]
        self.answers = 0
        self.failed: list[str] = []
        self.mixed = 0

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

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
