"""Following a run on standard error, and what Ctrl-C means meanwhile."""

from __future__ import annotations

import sys
from collections.abc import Callable

from govma_console.narration import Narrator
from govma_console.output import warn
from govma_core.errors import ExitCode, RefusedError
from govma_core.runs.cancel import cancel
from govma_core.runs.launch import StartedRun
from govma_core.runs.log import follow
from govma_core.runs.store import RunRecord, RunStore
from govma_core.settings import Settings
from govma_core.text.language import tr


def follow_started(settings: Settings, started: StartedRun) -> tuple[RunRecord, int]:
    """Narrate a run that was started here until it ends; give its final record and exit code. Ctrl-C cancels it."""
    store = RunStore(settings.state_dir)
    record = follow_to_end(store, started.record.id, interrupt_cancels=True, is_gone=started.gone)
    written = record.ended and record.state != "interrupted" and record.exit_code is not None
    code = record.exit_code if written and record.exit_code is not None else started.process.wait()
    if not written and code >= 0:
        warn(
            tr(
                "The run could not write down how it ended. Is there room in state_dir ({state_dir})?",
                state_dir=settings.state_dir,
            )
        )
    # A runner that was killed has a negative code.
    return record, code if code >= 0 else ExitCode.FAILED


def follow_to_end(
    store: RunStore, run_id: str, *, interrupt_cancels: bool, is_gone: Callable[[], bool] = lambda: False
) -> RunRecord:
    """Narrate a run until it ends, and give its final record.

    Ctrl-C asks the run to stop (`interrupt_cancels`) or only stops following. A second one always only stops
    following. Both of these exit with 130.
    """
    narrator = Narrator(sys.stderr)
    asked = not interrupt_cancels
    cancelled = False
    offset = 0
    while True:
        try:
            if interrupt_cancels and asked and not cancelled:
                cancelled = True
                _ask(store, run_id, narrator)
            for event, end in follow(store, run_id, offset, idle=narrator.idle, is_gone=is_gone):
                narrator.tell(event)
                offset = end
            return store.read(run_id)
        except KeyboardInterrupt:
            if asked:
                narrator.say(
                    tr("The run was asked to stop. `govma-console attach {run}` follows it.", run=run_id)
                    if cancelled
                    else tr("The run continues. `govma-console attach {run}` follows it.", run=run_id)
                )
                raise SystemExit(ExitCode.CANCELLED) from None
            asked = True


def _ask(store: RunStore, run_id: str, narrator: Narrator) -> None:
    narrator.say(tr("Cancelling. Press Ctrl-C again to stop waiting."))
    try:
        cancel(store, run_id)
    except RefusedError as error:
        narrator.say(str(error))
