"""A site with a past: versions deployed on earlier days by the real pipeline, with records and logs of their runs."""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from govma_core.context import Context, Outcome
from govma_core.deploy import deploy
from govma_core.events import LogLine, RunFinished
from govma_core.promotion import rollback
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


@dataclass(frozen=True, slots=True)
class Past:
    """Makes runs that happened `ago` seconds before now."""

    site: Site

    @property
    def runs(self) -> RunStore:
        return RunStore(self.site.settings.state_dir)

    def deploy(self, ago: float, number: int) -> RunRecord:
        """Commit something, and deploy it."""
        subject = SUBJECTS[number % len(SUBJECTS)]
        self.site.sample.commit({f"data/html/assets/nota-{number}.txt": f"{subject}\n" * (200 + 40 * number)}, subject)
        return self._run("deploy", ago, number, lambda context: deploy.run(context))

    def rollback(self, ago: float, number: int = 0) -> RunRecord:
        """Go back."""
        return self._run("rollback", ago, number, lambda context: rollback.run(context))

    def _run(self, operation: str, ago: float, number: int, work: Any) -> RunRecord:
        by, started = PEOPLE[number % len(PEOPLE)], time.time() - ago
        record = self.runs.create(operation, {}, by, "console, ssh from 10.0.0.7")
        log = EventLog(self.runs.path(record.id) / "events.jsonl", 1 << 20)
        context = Context(self.site.settings, Reporter(log.write), record.id, by, record.origin, started)
        outcome: Outcome = work(context)
        took = 27.0 + 3 * (number % 7)
        log.write(RunFinished(started + took, "ok", 0, outcome.message))
        log.close()
        done = dataclasses.replace(
            record,
            created=started,
            started=started,
            finished=started + took,
            state="ok",
            exit_code=0,
            stage="promote",
            message=outcome.message,
            version=outcome.version,
            version_before=outcome.version_before,
            commit=outcome.commit,
        )
        self.runs.write(done)
        self._lasted(outcome.version, started, took)
        return done

    def _lasted(self, version: str, started: float, took: float) -> None:
        path = self.site.settings.state_dir / "versions" / f"{version}.json"
        if path.exists():
            manifest = json.loads(path.read_text())
            path.write_text(json.dumps(manifest | {"started": started, "finished": started + took}))


def with_past(site: Site, deploys: int = 8, *, days: float = 9.0) -> Site:
    """Return a site its past: so many deploys over so many days."""
    site.settings.state_dir.mkdir(exist_ok=True)
    past = Past(site)
    for number in range(deploys):
        past.deploy((deploys - number) * days / deploys * 86400, number)
    return site


def many_versions(versions_dir: Path, state_dir: Path, count: int) -> list[str]:
    """Make so many complete, empty versions with manifests, quickly; give the names, oldest first."""
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
    from govma_core.events import StageStarted
    from govma_core.process.proc import ProcessId

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
