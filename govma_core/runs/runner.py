"""The process that executes one run: `python -m govma_core.runs.runner <state_dir> <run-id>`.

It has no terminal. What it does is in the run's directory: `run.json`, `events.jsonl`, and `runner.err` for what should
never happen.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import pkgutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import FrameType

from govma_core import hooks
from govma_core.context import About, Context, Outcome
from govma_core.errors import BusyError, ExitCode, GovmaError, HeldError, RefusedError, RunCancelled
from govma_core.events import Event, RunFinished, StageFinished, StageStarted
from govma_core.masking import mask_of
from govma_core.process.proc import ProcessId
from govma_core.reporting import Cancellation, Reporter
from govma_core.runs import recovery
from govma_core.runs.launch import SAVING
from govma_core.runs.lock import Holder, hold_lock, turn
from govma_core.runs.log import EventLog
from govma_core.runs.store import ERRORS, RunRecord, RunStore, State
from govma_core.runs.totals import Totals
from govma_core.settings import Settings, from_plain
from govma_core.text.language import tr

_PLACES = {
    "workdir": "work_dir",
    "assets": "work_dir",
    "vendor": "work_dir",
    "env": "work_dir",
    "ownership": "work_dir",
    "uploads": "upload_dir",
    "publish": "versions_dir",
    "promote": "versions_dir",
    "plan": "versions_dir",
    "remove": "versions_dir",
    "dedupe": "versions_dir",
}
"""Where each stage writes; all others write to the state directory only."""

_ADVICE = {
    errno.ENOSPC: tr("Free some space there (or inodes: df -i), then run it again."),
    errno.EDQUOT: tr("Free some space there, then run it again."),
    errno.EROFS: tr("Mount it for writing, then run it again."),
    errno.EACCES: tr("Run as root."),
    errno.EPERM: tr("Run as root, and look for immutable files there (lsattr)."),
}


def os_sentence(error: OSError, stage: str, settings: Settings) -> str:
    """Return the sentence for an error of the system that ended a run in this stage."""
    setting = _PLACES.get(stage.partition("/")[0], "state_dir")
    name = tr(", at {name!r}", name=os.fsdecode(error.filename)) if error.filename is not None else ""
    advice = _ADVICE.get(error.errno or 0, tr("Look at what is named here, then run it again."))
    where = tr("in {setting} ({place}){name}", setting=setting, place=getattr(settings, setting), name=name)
    return tr(
        "{stage} failed {where}: {strerror}. {advice}",
        stage=stage or tr("The start"),
        where=where,
        strerror=error.strerror or error,
        advice=advice,
    )


OPERATIONS = {
    "deploy": "govma_core.deploy.deploy:run",
    "promote": "govma_core.promotion.promote:run",
    "rollback": "govma_core.promotion.rollback:run",
    "check": "govma_core.promotion.promote:check",
    "prune": "govma_core.prune.prune:run",
    "dedupe": "govma_core.disk.dedupe:run",
    "services": "govma_core.services.up:run",
    "verify-assets": "govma_core.deploy.verify_assets:run",
}
"""The function of each operation, `module:function`; a new operation gets a line here.

Names, as a run imports its own operation only: the others would double the time in which it starts. A test resolves
all of them.
"""


class Runner:
    """Executes the run of one record, and keeps the record up to date."""

    def __init__(self, store: RunStore, run_id: str) -> None:
        self._store = store
        process = ProcessId.current()
        self._record = dataclasses.replace(
            store.read(run_id), pid=process.pid, pid_started=process.started, boot=process.boot
        )
        self._settings = from_plain(self._record.settings)
        self._log = EventLog(store.path(run_id) / "events.jsonl", self._settings.log_limit << 20)
        self._cancellation = Cancellation()
        self._totals = Totals(store.state_dir)
        self._about = About()
        paths = [str(value) for value in self._record.settings.values() if str(value).startswith("/")]
        mask = mask_of(self._settings.env_file, paths)
        self._reporter = Reporter(self._emit, self._cancellation, self._log.flush, self._log.write_output, mask)

    def execute(self) -> int:
        """Run to the end, whatever that is; give the exit code."""
        signal.signal(signal.SIGTERM, self._on_signal)
        # Imported before the lock is held and others wait; what is wrong with it is reported in the run's turn.
        with suppress(Exception):
            self._operation()
        try:
            with self._turn():
                # The end is written down before the lock is free: no other run begins while this one seems to run.
                return self._finish(*self._outcome())
        except BusyError as error:
            self._reporter.error(str(error))
            return self._finish("busy", error.exit_code, Outcome(str(error)))
        except RunCancelled:
            self._reporter.warning("Cancelled before it began.")
            return self._finish("cancelled", ExitCode.CANCELLED, Outcome(tr("Cancelled before it began.")))
        except OSError as error:
            return self._finish("failed", ExitCode.FAILED, self._os_failure(error))

    def _turn(self) -> AbstractContextManager[None]:
        record = self._record
        if record.queued:
            self._update(state="waiting")
            return turn(self._store, record, self._reporter)
        return hold_lock(self._store.state_dir, Holder(record.id, record.operation, record.by, record.created))

    def _finish(self, state: State, code: ExitCode, outcome: Outcome) -> int:
        message = self._reporter.mask(outcome.message)
        # All lines first, then the record, then the end: a follower that sees the record ended misses nothing.
        self._log.flush()
        self._update(
            self._store.write_last,
            state=state,
            exit_code=int(code),
            message=message,
            finished=time.time(),
            version=outcome.version,
            version_before=outcome.version_before,
            commit=outcome.commit,
            details=dict(outcome.details),
        )
        with suppress(OSError):
            self._totals.add_run(self._record.operation, state)
        self._log.write(RunFinished(time.time(), state, int(code), message))
        self._log.close()
        return int(code)

    def _outcome(self) -> tuple[State, ExitCode, Outcome]:
        state, code, outcome = self._attempt()
        if code != ExitCode.OK:
            outcome = dataclasses.replace(outcome, **dataclasses.asdict(self._about))
        if state == "failed":
            self._on_failure(code, outcome)
        return state, code, outcome

    def _on_failure(self, code: ExitCode, outcome: Outcome) -> None:
        """Run the operators' hook; whatever that comes to, the run has failed already."""
        context = self._context()
        with suppress(Exception):
            environment = hooks.variables(context, outcome.version, outcome.version_before, outcome.commit)
            environment |= {
                "GOVMA_ERROR": self._reporter.mask(outcome.message),
                "GOVMA_EXIT_CODE": str(int(code)),
                # A step of the build is told as the stage that it belongs to.
                "GOVMA_STAGE": self._record.stage.partition("/")[0],
            }
            hooks.after(context, "on-failure", environment)

    def _attempt(self) -> tuple[State, ExitCode, Outcome]:
        try:
            outcome = self._run_operation()
            return outcome.state, ExitCode.OK, outcome
        except RunCancelled:
            is_deploy = self._record.operation == "deploy"
            rest = tr("The work dir is kept") if is_deploy else tr("What was done so far is kept")
            self._reporter.warning("Cancelled. {kept}; current-version is as it was.", kept=rest)
            return "cancelled", ExitCode.CANCELLED, Outcome(tr("Cancelled."))
        except HeldError as error:
            self._reporter.error(str(error))
            return "refused", error.exit_code, Outcome(str(error), details={"held_until": error.until})
        except GovmaError as error:
            self._reporter.error(str(error))
            return "refused" if isinstance(error, RefusedError) else "failed", error.exit_code, Outcome(str(error))
        except OSError as error:
            return "failed", ExitCode.FAILED, self._os_failure(error)
        except Exception as error:  # a fault of this program: still recorded, with where to look
            where = self._store.path(self._record.id) / ERRORS
            sentence = tr(
                "This is a fault of govma-console ({name}); please report it with {where}.",
                name=type(error).__name__,
                where=where,
            )
            self._reporter.error(sentence)
            _note(self._reporter.mask(traceback.format_exc()))
            return "failed", ExitCode.FAILED, Outcome(sentence)

    def _os_failure(self, error: OSError) -> Outcome:
        sentence = os_sentence(error, self._record.stage, self._settings)
        self._reporter.error(sentence)
        _note(self._reporter.mask(traceback.format_exc()))
        return Outcome(sentence)

    def _run_operation(self) -> Outcome:
        record = self._record = dataclasses.replace(self._record, state="running", started=time.time())
        context = self._context()
        try:
            # What became of the runs before this one is written down, too.
            self._store.write(record)
            recovery.recover(context, self._store)
        except OSError as error:
            # Before anything is done: where this cannot be written, no front end could follow what is.
            if record.operation not in SAVING:
                raise
            self._reporter.warning(
                "state_dir ({state_dir}) cannot be written: {strerror}. The {operation} continues.",
                state_dir=self._store.state_dir,
                strerror=error.strerror,
                operation=record.operation,
            )
        return self._operation()(context, **record.arguments)

    def _context(self) -> Context:
        record = self._record
        return Context(
            self._settings,
            self._reporter,
            record.id,
            record.by,
            record.origin,
            record.started,
            record.operation,
            self._about,
        )

    def _operation(self) -> Callable[..., Outcome]:
        if self._record.operation not in OPERATIONS:
            raise RefusedError("There is no operation {operation!r}.", operation=self._record.operation)
        operation: Callable[..., Outcome] = pkgutil.resolve_name(OPERATIONS[self._record.operation])
        return operation

    def _emit(self, event: Event) -> None:
        if isinstance(event, StageStarted):
            self._update(stage=event.stage)
        elif isinstance(event, StageFinished):
            self._end_stage(event)
        self._log.write(event)

    def _end_stage(self, event: StageFinished) -> None:
        if event.outcome == "ok":
            self._totals.add_stage(self._record.operation, event.stage, event.seconds)
        # Those of steps overlap: the one that began last need not be the one that fails.
        whole, _, part = event.stage.partition("/")
        if event.outcome == "failed" and not self._record.stage.startswith(f"{event.stage}/"):
            self._update(stage=event.stage)
        elif event.outcome == "ok" and part:
            self._update(stage=whole)

    def _update(self, write: Callable[[RunRecord], None] | None = None, **changes: object) -> None:
        self._record = dataclasses.replace(self._record, **changes)  # type: ignore[arg-type]
        try:
            (write or self._store.write)(self._record)
        except OSError as error:
            # A disk without room must not decide whether a deploy fails; the next change is written again.
            _note(tr("run.json could not be written: {error}", error=error))

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._cancellation.request()


def _note(text: str) -> None:
    """Write into runner.err, which may be on the file system without room that the text is about."""
    with suppress(OSError):
        sys.stderr.write(text.rstrip("\n") + "\n")
        sys.stderr.flush()


def main() -> int:
    """Execute the run that the command line names."""
    os.umask(0o022)
    return Runner(RunStore(Path(sys.argv[1])), sys.argv[2]).execute()


if __name__ == "__main__":
    code = int(ExitCode.FAILED)
    try:
        code = main()
    except BaseException:
        _note(traceback.format_exc())
    # Not sys.exit: runner.err may be on a full disk, and a failing flush at the end would change the exit code.
    os._exit(code)
