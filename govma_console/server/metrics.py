"""`/metrics`: numbers for Prometheus, in its text format (Prometheus "Exposition formats", version 0.0.4)."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from govma_console import reports
from govma_console.server.auth import get_site, require_reader
from govma_console.server.state import Site
from govma_core.disk.usage import last_measured
from govma_core.runs.store import Totals

_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Sample = tuple[str, dict[str, str], float]
"""The suffix of the name, the labels, the value."""
Add = Callable[[str, str, str, Iterable[Sample]], None]


async def metrics(request: Request) -> Response:
    """Return the numbers."""
    require_reader(request)
    site = get_site(request)
    return PlainTextResponse(await asyncio.to_thread(_text, site), media_type=_TYPE)


def _text(site: Site) -> str:
    parts: list[str] = []

    def add(name: str, kind: str, doc: str, samples: Iterable[Sample]) -> None:
        parts.append(f"# HELP {name} {doc}\n# TYPE {name} {kind}\n")
        for suffix, labels, value in samples:
            pairs = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
            parts.append(f"{name}{suffix}{f'{{{pairs}}}' if pairs else ''} {float(value)!r}\n")

    totals = Totals(site.settings.state_dir)
    add(
        "govma_runs_total",
        "counter",
        "Runs that ended, by operation and result.",
        [("", {"operation": op, "result": result}, count) for (op, result), count in sorted(totals.runs().items())],
    )
    stages = sorted(totals.stages().items())
    add(
        "govma_stage_duration_seconds",
        "summary",
        "Durations of stages that went well.",
        [
            sample
            for (op, stage), (count, seconds) in stages
            for labels in [{"operation": op, "stage": stage}]
            for sample in (("_sum", labels, seconds), ("_count", labels, count))
        ],
    )
    active = site.store.active()
    add("govma_runs_active", "gauge", "Runs at work.", [("", {}, sum(run.state == "running" for run in active))])
    add("govma_runs_waiting", "gauge", "Runs that wait for their turn.",
        [("", {}, sum(run.state != "running" for run in active))])  # fmt: skip
    add("govma_streams", "gauge", "Logs that are being sent.", [("", {}, site.streams.in_use)])
    _add_site(site, add)
    return "".join(parts)


def _add_site(site: Site, add: Add) -> None:
    settings = site.settings
    status = reports.status(settings)
    current = status.pointer.version or ""
    commit = status.manifest.commit if status.manifest else ""
    add(
        "govma_current_version_info",
        "gauge",
        "The version that is live; 0 when there is none.",
        [("", {"version": current, "commit": commit}, 1 if current else 0)],
    )
    holds = status.holds
    add("govma_hold", "gauge", "Holds on deploys that are in force: by hand (1 or 0), and of commits.",
        [("", {"of": "all"}, bool(holds.by_hand)), ("", {"of": "commits"}, len(holds.commits))])  # fmt: skip
    if status.since:
        add("govma_current_version_since_seconds", "gauge", "When it went live.", [("", {}, status.since.at)])
    last = status.last
    if last and last.finished:
        add("govma_last_run_finished_seconds", "gauge", "When the last run ended.",
            [("", {"operation": last.operation, "result": last.state}, last.finished)])  # fmt: skip
    with suppress(OSError):
        add("govma_versions_filesystem_free_bytes", "gauge", "Free space where the versions are.",
            [("", {}, shutil.disk_usage(settings.versions_dir).free)])  # fmt: skip
    sizes = last_measured(settings.state_dir, settings.versions_dir)
    add("govma_versions", "gauge", "Versions whose size is known.", [("", {}, len(sizes))])
    add("govma_version_exclusive_bytes", "gauge", "What removing a version would free, as last measured.",
        [("", {"version": name}, used.exclusive) for name, used in sorted(sizes.items())])  # fmt: skip


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").encode("utf-8", "replace").decode()
