"""Hooks: the operators' own programs around a run, what they are told, and what they can and cannot stop."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from govma_core.deploy import doctor
from govma_core.errors import HookError
from govma_core.promotion import promote, rollback
from tests.support.command import Command
from tests.support.handlers import QuietHandler, serving
from tests.support.releases import NAMES, Releases
from tests.support.sites import Site

FIRST, SECOND = NAMES[:2]


class Hooks:
    """A directory of hooks."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()

    def write(self, moment: str, script: str, mode: int = 0o755) -> Path:
        path = self.directory / moment
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(mode)
        return path


@dataclass
class Heard:
    """A small HTTP server of 127.0.0.1: where it answers, and the bodies that came."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)


@contextmanager
def hearing() -> Iterator[Heard]:
    """Listen until the block ends."""
    heard = Heard()

    class Handler(QuietHandler):
        def do_POST(self) -> None:
            heard.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

    with serving(Handler) as port:
        heard.url = f"http://127.0.0.1:{port}/"
        yield heard


@pytest.fixture
def hooks(tmp_path: Path) -> Hooks:
    return Hooks(tmp_path / "hooks")


@pytest.fixture
def releases(tmp_path: Path, hooks: Hooks) -> Releases:
    releases = Releases(tmp_path / "site", {"hooks_dir": str(hooks.directory)})
    releases.add(FIRST, SECOND, result="published")
    releases.live(FIRST)
    return releases


def test_what_a_hook_is_told_and_says(releases: Releases, hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the documented variables, the output in the log, and that nothing of our environment leaks."""
    monkeypatch.setenv("SECRET_OF_OURS", "canary")
    hooks.write("pre-promote", "env | grep -v ^SHLVL | sort")
    hooks.write("post-promote", 'echo "after $GOVMA_HOOK, served $GOVMA_SERVED"')
    promote.run(releases.context(), version=SECOND)
    variables = dict(line.split("=", 1) for line in releases.log("output").splitlines() if "=" in line)
    assert variables["GOVMA_HOOK"] == "pre-promote"
    assert variables["GOVMA_VERSION"] == SECOND
    assert variables["GOVMA_VERSION_PATH"] == str(releases.directory / SECOND)
    assert variables["GOVMA_PREVIOUS"] == FIRST
    assert variables["GOVMA_BY"] == "ana"
    assert variables["GOVMA_COMMIT"] == SECOND, "each release is recorded as made from a commit of its name"
    assert "SECRET_OF_OURS" not in variables
    assert "after post-promote, served yes" in releases.log("output")
    assert list(releases.stages()) == ["preflight", "pre-promote", "promote", "post-promote"]


def test_a_hook_before_the_switch_can_stop_it_one_after_cannot_undo_it(releases: Releases, hooks: Hooks) -> None:
    hooks.write("pre-promote", "echo no; exit 7")
    with pytest.raises(HookError, match=r"pre-promote ended with exit code 7, which stops the run"):
        rollback.run(releases.context(), version=SECOND)
    assert releases.store.pointer().version == FIRST
    hooks.write("pre-promote", "sleep 60")
    releases.flags["hook_timeout"] = 1
    with pytest.raises(HookError, match="did not end within 1 s"):
        promote.run(releases.context(), version=SECOND)
    del releases.flags["hook_timeout"]
    hooks.write("pre-promote", "exit 0")
    hooks.write("post-promote", "exit 7")
    promote.run(releases.context(), version=SECOND)
    assert "nothing is undone for that" in releases.log("warning")
    assert releases.store.pointer().version == SECOND


@pytest.mark.parametrize("what", ["writable by others", "of another user", "directory writable", "no program"])
def test_what_somebody_else_could_have_written_is_not_run(releases: Releases, hooks: Hooks, what: str) -> None:
    """Guards root from running the web server's programs: refused before the switch, named after it."""
    if os.geteuid() != 0:
        pytest.skip("takes root")
    for moment in ("pre-promote", "post-promote"):
        path = hooks.write(moment, f"touch {releases.root}/reached", 0o757 if what == "writable by others" else 0o755)
        if what == "of another user":
            os.chown(path, 33, 33)
        if what == "no program":
            path.chmod(0o644)
    if what == "directory writable":
        hooks.directory.chmod(0o777)
    with pytest.raises(HookError, match="is not run"):
        promote.run(releases.context(), version=SECOND)
    (hooks.directory / "pre-promote").unlink()
    promote.run(releases.context(), version=SECOND)
    assert "post-promote is not run" in releases.log("warning")
    assert not (releases.root / "reached").exists()


def test_a_link_that_leads_nowhere_is_no_missing_hook(releases: Releases, hooks: Hooks) -> None:
    """Guards a gate that is linked from a place that was moved."""
    (hooks.directory / "pre-promote").symlink_to("/nowhere/gate")
    with pytest.raises(HookError, match="cannot be looked at"):
        promote.run(releases.context(), version=SECOND)
    assert releases.store.pointer().version == FIRST


def test_a_directory_of_hooks_that_cannot_be_looked_at_is_no_missing_hook(releases: Releases, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    releases.flags["hooks_dir"] = str(tmp_path / "loop")
    with pytest.raises(HookError, match="cannot be looked at"):
        promote.run(releases.context(), version=SECOND)
    assert releases.store.pointer().version == FIRST


def test_nothing_that_a_hook_starts_stays(releases: Releases, hooks: Hooks) -> None:
    hooks.write("post-promote", f"(setsid sh -c 'sleep 30; touch {releases.root}/late' &) ; echo $$")
    promote.run(releases.context(), version=SECOND)
    processes = [entry for entry in Path("/proc").glob("[0-9]*/cmdline") if str(releases.root).encode() in _read(entry)]
    assert processes == []


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_before_the_build_and_after_a_failure(site: Site, hooks: Hooks) -> None:
    """Guards pre-build, which has the commit in the work dir, and on-failure, which is told why."""
    text = site.sample.config_file.read_text()
    site.sample.config_file.write_text(f'hooks_dir = "{hooks.directory}"\n{text}')
    hooks.write("pre-build", 'test -d "$GOVMA_WORK_DIR/data" && echo "building $GOVMA_COMMIT"; exit 4')
    hooks.write(
        "on-failure", 'echo "sorry: $GOVMA_STAGE $GOVMA_EXIT_CODE $GOVMA_ERROR"; echo "of $GOVMA_COMMIT."; exit 9'
    )
    command = Command(site.sample.config_file, site.sample.state_dir)
    result = command.run("deploy")
    assert result.code == 1
    assert "building " in result.err
    assert "sorry: pre-build 1 The hook" in result.err
    assert "on-failure ended with exit code 9; nothing is undone" in result.err
    record = json.loads(command.run("runs", "--json").out)[0]
    assert record["state"] == "failed"
    assert "pre-build ended with exit code 4" in record["message"]
    assert (record["version"], record["version_before"]) == ("", site.current.name)
    assert f"of {record['commit']}." in result.err
    assert len(record["commit"]) == 40
    hooks.write("pre-promote", "exit 5")
    (hooks.directory / "pre-build").unlink()
    hooks.write("on-failure", 'echo "was $GOVMA_VERSION, before $GOVMA_PREVIOUS"')
    result = command.run("deploy")
    record = json.loads(command.run("runs", "--json").out)[0]
    assert record["version"].startswith("data-build--")
    assert f"was {record['version']}, before {site.current.name}" in result.err


def test_what_is_named_like_no_hook_is_named_by_a_deploy_and_the_doctor(site: Site, hooks: Hooks) -> None:
    """Guards what an operator takes for a hook: it is never run, and nothing else would tell."""
    site.flags["hooks_dir"] = str(hooks.directory)
    hooks.write("pre-deploy", "exit 1")
    hooks.write("post_promote", "exit 1", mode=0o644)
    hooks.write("notify.sh", "exit 1")
    hooks.write("README", "no program", mode=0o644)
    hooks.write(".pre-build.swp", "what an editor leaves")
    hooks.write("on-failure", "exit 0")
    (hooks.directory / "pre-build.d").mkdir()
    site.deploy()
    expected = ["notify.sh", "post_promote", "pre-build.d", "pre-deploy"]
    warnings = [text for text in site.log("warning").splitlines() if "is never run" in text]
    assert [text.partition(" ")[0] for text in warnings] == [str(hooks.directory / name) for name in expected]
    assert "is post-promote meant?" in warnings[1]
    assert "is pre-build meant?" in warnings[2]
    hooks.write("pre-build", "exit 0", mode=0o666)
    findings = [finding for finding in doctor.examine(site.context()) if finding.what == "hooks_dir"]
    assert [finding.state for finding in findings] == ["wrong", "note", "note", "note", "note"]
    assert "pre-build is not run" in findings[0].said
    assert [finding.said + "." for finding in findings[1:]] == warnings


@pytest.mark.parametrize("name", ["none", "loop"])
def test_a_directory_of_hooks_that_is_set_and_cannot_be_listed_is_named(site: Site, tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    site.flags["hooks_dir"] = str(tmp_path / name)
    (finding,) = [finding for finding in doctor.examine(site.context()) if finding.what == "hooks_dir"]
    assert str(tmp_path / name) in finding.said


def test_the_example_posts_what_happened(site: Site, hooks: Hooks, tmp_path: Path) -> None:
    """Guards the example of the documentation against a real HTTP server."""
    example = Path(__file__).parents[2] / "docs/hooks/post-json"
    for moment in ("post-promote", "on-failure"):
        path = hooks.write(moment, "")
        path.write_text(example.read_text())
    with hearing() as heard:
        (hooks.directory / "post-json.url").write_text(f"{heard.url}\n")
        releases = Releases(tmp_path / "other", {"hooks_dir": str(hooks.directory)})
        releases.add(FIRST, SECOND, result="published")
        releases.live(FIRST)
        promote.run(releases.context(), version=SECOND)
    (body,) = heard.bodies
    variables = json.loads(body)
    assert (variables["moment"], variables["version"], variables["previous"]) == ("post-promote", SECOND, FIRST)
