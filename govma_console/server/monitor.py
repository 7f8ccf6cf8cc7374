"""Telling the service manager and the journal what runs do, whoever started them."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing

from govma_console.server.blocks import Block
from govma_console.server.site import Site
from govma_console.server.systemd import Notifier
from govma_core.errors import GovmaError
from govma_core.events import LogLine, RunFinished, StageStarted
from govma_core.language import tr
from govma_core.runs.record import RunRecord

IDLE = tr("Waiting for requests")

_RETRY_SECONDS = 5.0

log = logging.getLogger("govma.runs")
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class Monitor:
    """Follows the runs of the site one after the other, as they take their turns."""

    def __init__(self, site: Site, notifier: Notifier) -> None:
        self._site = site
        self._notifier = notifier
        self._last = max(site.store.ids(), default="")

    async def run(self) -> None:
        """Follow every run that begins from now on, and those that go on; until cancelled."""
        going = [record.id for record in self._site.store.active()]
        while True:
            try:
                for run_id in going:
                    await self._follow(run_id)
                self._notifier.status(IDLE)
                going = [run_id for run_id in reversed(self._site.store.ids()) if run_id > self._last]
            except OSError as error:
                # No descriptors left, a directory that is gone: what runs goes on, and is told of when it can be.
                log.error(tr("Runs cannot be followed: %s."), error.strerror)
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            if going:
                self._last = going[-1]
            else:
                await self._site.feeds.new_run()

    async def _follow(self, run_id: str) -> None:
        try:
            record = self._site.store.read(run_id)
        except GovmaError:
            return
        log.info(tr("%s, asked for by %s (%s)"), record.operation, record.by, record.origin, extra={"run": run_id})
        async with aclosing(self._site.feeds.follow(run_id, 0, asyncio.Event())) as blocks:
            async for block in blocks:
                self._tell(record, block)

    def _tell(self, record: RunRecord, block: Block) -> None:
        extra = {"run": record.id}
        for event in block.told:
            match event:
                case StageStarted(_, stage):
                    self._notifier.status(f"{record.operation} {record.id}: {stage}")
                    log.info("stage %s", stage, extra=extra)
                case LogLine(_, level, text) if level in _LEVELS:
                    log.log(_LEVELS[level], "%s", text, extra=extra)
                case RunFinished(_, result, code, message):
                    log.log(
                        logging.INFO if result == "ok" else logging.ERROR,
                        tr("%s: %s (exit code %d)"),
                        result,
                        message,
                        code,
                        extra=extra,
                    )
