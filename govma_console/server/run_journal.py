"""Reports every run to the service manager and the journal, also runs that the command line started."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing

from govma_console.server.state import Site
from govma_console.server.systemd import IDLE, Notifier
from govma_core.errors import GovmaError
from govma_core.events import Event, LogLine, RunFinished, StageStarted
from govma_core.runs.store import RunRecord
from govma_core.text.language import tr

_RETRY_SECONDS = 5.0
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

log = logging.getLogger("govma.runs")


class RunJournal:
    """Follows the runs of the site one after the other, as they take their turns."""

    def __init__(self, site: Site, notifier: Notifier) -> None:
        self._site = site
        self._notifier = notifier
        self._last = max(site.store.ids(), default="")

    async def run(self) -> None:
        """Follow the runs that have not ended, and every one that begins from now on; until cancelled."""
        run_ids = [record.id for record in self._site.store.active()]
        while True:
            try:
                for run_id in run_ids:
                    await self._follow(run_id)
                self._notifier.status(IDLE)
                run_ids = [run_id for run_id in reversed(self._site.store.ids()) if run_id > self._last]
            except OSError as error:
                # No descriptors left, a directory that is gone: runs continue, and are reported when that is possible.
                log.error(tr("Runs cannot be followed: %s."), error.strerror)
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            if run_ids:
                self._last = run_ids[-1]
            else:
                await self._site.feed.wait_for_new_run()

    async def _follow(self, run_id: str) -> None:
        try:
            record = self._site.store.read(run_id)
        except GovmaError:
            return
        log.info(tr("%s, asked for by %s (%s)"), record.operation, record.by, record.origin, extra={"run": run_id})
        async with aclosing(self._site.feed.follow(run_id)) as pieces:
            async for piece in pieces:
                for event, _ in piece.events(output=False):
                    self._report(record, event)

    def _report(self, record: RunRecord, event: Event) -> None:
        extra = {"run": record.id}
        match event:
            case StageStarted(_, stage):
                self._notifier.status(f"{record.operation} {record.id}: {stage}")
                log.info("stage %s", stage, extra=extra)
            case LogLine(_, level, text) if level in _LEVELS:
                log.log(_LEVELS[level], "%s", text, extra=extra)
            case RunFinished(_, result, code, message):
                severity = logging.INFO if event.is_success else logging.ERROR
                log.log(severity, tr("%s: %s (exit code %d)"), result, message, code, extra=extra)
