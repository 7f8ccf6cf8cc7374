"""Requests that may meet a run that is going: they wait, share a run that waits, or are sent away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from govma_core.errors import BusyError, GovmaError, UsageError
from govma_core.fs import jsonfile
from govma_core.runs.launch import Requester, write_down
from govma_core.runs.store import RunRecord, RunStore
from govma_core.settings import Settings, to_plain
from govma_core.text.language import tr

_KEYS = "keys"
"""A file of a run with the keys of all requests that came to share it, a line each."""


class QueueFullError(BusyError):
    """As many runs wait as may."""


@dataclass(frozen=True, slots=True)
class Admission:
    """The run that serves a request, and what it waits for; a `fresh` one was made for it and has to be launched."""

    record: RunRecord
    fresh: bool
    behind: RunRecord | None = None


def admit(
    store: RunStore,
    settings: Settings,
    operation: str,
    arguments: dict[str, Any],
    requester: Requester,
    *,
    policy: str,
    most_waiting: int,
    key: str = "",
    retry_failed: bool = False,
) -> Admission:
    """Return the run that serves this request.

    It always begins after the request: `coalesce` shares one that waits and asks for the same, `each` makes one of its
    own, `reject` raises BusyError when another one has not ended. A request whose `key` is that of an earlier one gets
    that one's run, with `retry_failed` unless it failed; UsageError when it asks for something else. QueueFullError
    when `most_waiting` runs wait already.
    """
    plain_settings = to_plain(settings)
    with _admissions(store.state_dir):
        if key:
            earlier = with_key(store, key, retry_failed=retry_failed)
            if earlier is not None:
                if (earlier.operation, earlier.arguments) != (operation, arguments):
                    raise UsageError("The key of this request was used for another one, run {id}.", id=earlier.id)
                return Admission(earlier, fresh=False)
        active = store.active()
        going, waiting = next(iter(active), None), active[1:]
        if going is not None and policy == "reject":
            raise BusyError(
                "{operation} {id}, asked for by {by}, has not ended.",
                operation=going.operation,
                id=going.id,
                by=going.by,
            )
        behind = waiting[-1] if waiting else going
        if policy == "coalesce":
            for record in waiting:
                # With other settings, such as another branch, it would be another deploy.
                same = (record.operation, record.arguments, record.settings) == (operation, arguments, plain_settings)
                if same and record.queued and record.state != "running":
                    if key:
                        # Not in its record, which is its runner's to write.
                        with (store.path(record.id) / _KEYS).open("a") as file:
                            file.write(f"{key}\n")
                    return Admission(record, fresh=False, behind=going)
        if len(waiting) >= most_waiting:
            raise QueueFullError(
                tr("{count} runs wait already (max_waiting); try again when they have ended.", count=len(waiting))
            )
        record = write_down(store, settings, operation, arguments, requester, queued=True, key=key)
        return Admission(record, fresh=True, behind=behind)


def with_key(store: RunStore, key: str, *, retry_failed: bool = False) -> RunRecord | None:
    """Return the run that serves the request of this key; one that was interrupted serves none, unless a rollback.

    With `retry_failed` neither does one that ended otherwise than well.
    """
    for record in store.records():
        keys = [record.key]
        with suppress(FileNotFoundError):
            keys += (store.path(record.id) / _KEYS).read_text().splitlines()
        # A rollback that was interrupted behind its switch would go back a second time.
        was_cut_short = record.state == "interrupted" and record.operation != "rollback"
        has_failed = was_cut_short or (retry_failed and record.ended and record.exit_code != 0)
        if key in keys and not has_failed:
            return record
    return None


@contextmanager
def _admissions(state_dir: Path) -> Iterator[None]:
    """Admit one request at a time, whichever process it came to."""
    with ExitStack() as lock:
        try:
            lock.enter_context(jsonfile.locked(state_dir / "queue.lock"))
        except OSError as error:
            raise GovmaError(
                "state_dir ({state_dir}) cannot be used: {strerror}. Check that directory.",
                state_dir=state_dir,
                strerror=error.strerror,
            ) from None
        yield
