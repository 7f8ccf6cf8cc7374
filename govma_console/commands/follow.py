"""Following a run on standard error, and what Ctrl-C means meanwhile."""

from __future__ import annotations

import sys

from govma_console.narration import Narrator
from govma_core.errors import ExitCode, RefusedError
from govma_core.runs.cancel import cancel
from govma_core.runs.log import follow
from govma_core.runs.record import RunRecord, RunStore


def follow_to_end(store: RunStore, run_id: str, *, interrupt_cancels: bool) -> RunRecord:
    """Narrate a run until it ends, and give its final record.

    Ctrl-C asks the run to stop (`interrupt_cancels`) or only stops following. A second one always only stops
    following. Both of these exit with 130.
    """
    narrator = Narrator(sys.stderr)
    events = follow(store, run_id, idle=narrator.idle)
    asked = not interrupt_cancels
    told = 0
    while True:
        try:
            for event in events:
                narrator.tell(event)
                told += 1
            return store.read(run_id)
        except KeyboardInterrupt:
            if asked:
                narrator.say(f"The run goes on. `govma-console attach {run_id}` follows it again.")
                raise SystemExit(ExitCode.CANCELLED) from None
            asked = True
            narrator.say("Cancelling. Once more Ctrl-C leaves it to itself.")
            try:
                cancel(store, run_id)
            except RefusedError as error:
                narrator.say(str(error))
            events = follow(store, run_id, skip=told, idle=narrator.idle)
