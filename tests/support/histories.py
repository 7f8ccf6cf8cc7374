"""A site with a past: versions deployed on earlier days by the real pipeline, with records and logs of their runs."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

from govma_core.context import Context
from govma_core.deploy import deploy
from govma_core.events import LogLine, RunFinished, StageStarted
from govma_core.process.proc import ProcessId
from govma_core.reporting import Reporter
from govma_core.runs.log import EventLog
from govma_core.runs.store import RunRecord, RunStore, State
from govma_core.versions.store import PREFIX
from tests.support.sites import Site

SUBJECTS = (
    "Corrige o rodapé da página inicial",
    "Acrescenta o banner do censo escolar",
    "Atualiza a lista de secretarias",
    "Melhora o contraste do menu",
    "Remove o aviso de manutenção",
    "Ajusta a busca para acentos",
    "Nova página da ouvidoria",
    "Troca o vídeo da campanha de vacinação",
)
PEOPLE = ("ana", "bruno", "carla (sudo)", "root")


def with_past(site: Site, deploys: int = 8, *, days: float = 9.0) -> Site:
    """Deploy so many commits, as if spread over so many days until now, and return the site."""
    site.settings.state_dir.mkdir(exist_ok=True)
    for number in range(deploys):
        _deploy_before(site, (deploys - number) * days / deploys * 86400, number)
    return site


def _deploy_before(site: Site, seconds: float, number: int) -> None:
    """Commit a change and deploy it; record and manifest say that this was so many seconds ago."""
    subject, by = SUBJECTS[number % len(SUBJECTS)], PEOPLE[number % len(PEOPLE)]
    site.sample.commit({f"data/html/assets/nota-{number}.txt": f"{subject}\n" * (200 + 40 * number)}, subject)
    runs, started = RunStore(site.settings.state_dir), time.time() - seconds
    finished = started + 27.0 + 3 * (number % 7)
    record = runs.create("deploy", {}, by, "console, ssh from 10.0.0.7")
    log = EventLog(runs.path(record.id) / "events.jsonl", 1 << 20)
    outcome = deploy.run(Context(site.settings, Reporter(log.write), record.id, by, record.origin, started))
    log.write(RunFinished(finished, "ok", 0, outcome.message))
    log.close()
    runs.write(
        dataclasses.replace(
            record,
            created=started,
            started=started,
            finished=finished,
            state="ok",
            exit_code=0,
            stage="promote",
            message=outcome.message,
            version=outcome.version,
            version_before=outcome.version_before,
            commit=outcome.commit,
        )
    )
    manifest_file = site.settings.state_dir / "versions" / f"{outcome.version}.json"
    times = {"started": started, "finished": finished}
    manifest_file.write_text(json.dumps(json.loads(manifest_file.read_text()) | times))


def many_versions(versions_dir: Path, state_dir: Path, count: int) -> list[str]:
    """Make so many complete, empty versions with manifests, quickly; return the names, oldest first."""
    (state_dir / "versions").mkdir(parents=True, exist_ok=True)
    fields = ("run", "author", "ref", "origin")
    names = []
    for number in range(count):
        name = f"{PREFIX}2021-{1 + number // 28 % 12:02d}-{1 + number % 28:02d}-10h{number // 336:02d}m00s"
        for part in ("html", "system"):
            (versions_dir / name / part).mkdir(parents=True)
        manifest: dict[str, Any] = dict.fromkeys(fields, "some text")
        manifest |= {"version": name, "commit": f"{number:040x}", "subject": f"{SUBJECTS[number % 8]} {number}"}
        manifest |= {"by": PEOPLE[number % 4], "committed": 1.0, "started": 1.0, "result": "published"}
        (state_dir / "versions" / f"{name}.json").write_text(json.dumps(manifest))
        names.append(name)
    return names


def going_run(runs: RunStore, lines: int, *, operation: str = "deploy", state: State = "running") -> RunRecord:
    """Write the record and log of a run of this process, that goes on as long as this process does."""
    process = ProcessId.current()
    record = runs.create(operation, {}, "bruno", "http")
    record = dataclasses.replace(
        record,
        pid=process.pid,
        pid_started=process.started,
        boot=process.boot,
        state=state,
        started=time.time(),
        stage="assets",
    )
    runs.write(record)
    log = EventLog(runs.path(record.id) / "events.jsonl", 1 << 32)
    log.write(StageStarted(time.time(), "assets"))
    for number in range(lines):
        log.write(LogLine(time.time(), "output", f"line {number} of the build"))
    log.close()
    return record
