"""`/metrics`: numbers for Prometheus, in its text format (Prometheus "Exposition formats", version 0.0.4)."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from govma_console import reports
from govma_console.server.auth import get_site, require_reader
from govma_console.server.state import Site
from govma_core.disk.usage import last_measured
from govma_core.runs.totals import Totals
from govma_core.settings import Settings

_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Sample = tuple[str, dict[str, str], float]
"""The suffix of the name, the labels, the value."""


async def metrics(request: Request) -> Response:
    """Return the numbers."""
    require_reader(request)
    site = get_site(request)
    return PlainTextResponse(await asyncio.to_thread(_text, site), media_type=_TYPE)


def _text(site: Site) -> str:
    return "".join([*_run_families(site), *_site_families(site.settings)])


def _run_families(site: Site) -> Iterator[str]:
    totals = Totals(site.settings.state_dir)
    ended = [("", {"operation": op, "result": result}, count) for (op, result), count in sorted(totals.runs().items())]
    yield _family("govma_runs_total", "Runs that ended, by operation and result.", ended, "counter")
    stages = [
        (suffix, {"operation": op, "stage": stage}, value)
        for (op, stage), (count, seconds) in sorted(totals.stages().items())
        for suffix, value in (("_sum", seconds), ("_count", count))
    ]
    yield _family("govma_stage_duration_seconds", "Durations of stages that went well.", stages, "summary")
    active = site.store.active()
    running = sum(run.state == "running" for run in active)
    yield _gauge("govma_runs_active", "Runs at work.", running)
    yield _gauge("govma_runs_waiting", "Runs that wait for their turn.", len(active) - running)
    yield _gauge("govma_streams", "Logs that are being sent.", site.streams.in_use)


def _site_families(settings: Settings) -> Iterator[str]:
    status = reports.status(settings)
    version = status.pointer.version or ""
    commit = status.manifest.commit if status.manifest else ""
    live = "The version that is live; 0 when there is none."
    yield _gauge("govma_current_version_info", live, bool(version), version=version, commit=commit)
    holds = [("", {"of": "all"}, bool(status.holds.by_hand)), ("", {"of": "commits"}, len(status.holds.commits))]
    yield _family("govma_hold", "Holds on deploys that are in force: by hand (1 or 0), and of commits.", holds)
    if status.since:
        yield _gauge("govma_current_version_since_seconds", "When it went live.", status.since.at)
    last = status.last
    if last and last.finished:
        labels = {"operation": last.operation, "result": last.state}
        yield _gauge("govma_last_run_finished_seconds", "When the last run ended.", last.finished, **labels)
    with suppress(OSError):
        free = shutil.disk_usage(settings.versions_dir).free
        yield _gauge("govma_versions_filesystem_free_bytes", "Free space where the versions are.", free)
    sizes = last_measured(settings.state_dir, settings.versions_dir)
    yield _gauge("govma_versions", "Versions whose size is known.", len(sizes))
    exclusive = [("", {"version": name}, usage.exclusive) for name, usage in sorted(sizes.items())]
    removal = "What removing a version would free, as last measured."
    yield _family("govma_version_exclusive_bytes", removal, exclusive)


def _gauge(name: str, doc: str, value: float, **labels: str) -> str:
    return _family(name, doc, [("", labels, value)])


def _family(name: str, doc: str, samples: Sequence[Sample], kind: str = "gauge") -> str:
    lines = [f"# HELP {name} {doc}\n# TYPE {name} {kind}\n"]
    for suffix, labels, value in samples:
        pairs = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        lines.append(f"{name}{suffix}{f'{{{pairs}}}' if pairs else ''} {float(value)!r}\n")
    return "".join(lines)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").encode("utf-8", "replace").decode()
