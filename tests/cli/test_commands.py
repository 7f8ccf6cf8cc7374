"""The command as a user calls it: what it prints where, its exit codes, and runs that outlive it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from govma_core.runs.lock import Holder, hold_lock
from tests.support.command import Command, environment
from tests.support.sample import LEGACY_VERSION, SampleSite, git


def current(sample: SampleSite) -> str:
    return os.readlink(sample.versions_dir / "current-version")


def test_deploy_gives_the_version_as_data_and_the_log_as_narration(command: Command, sample: SampleSite) -> None:
    result = command.run("deploy")
    assert result.code == 0, result.err
    assert result.out.strip() == current(sample)
    assert "== source ok" in result.err
    assert "successfully deployed" in result.err


def test_list_status_pending_runs_and_log_agree(command: Command, sample: SampleSite) -> None:
    assert command.run("deploy").code == 0
    version = current(sample)
    sample.commit({"data/html/x.php": "<?php"}, "Página pendente")
    listed = command.run("list", "--json").json
    assert [v["name"] for v in listed["versions"]] == [version, LEGACY_VERSION]
    assert [v["state"] for v in listed["versions"]] == ["published", "no manifest"]
    assert listed["current"] == version
    table = command.run("list").out
    assert any(line.startswith("*") and version in line for line in table.splitlines())
    status = command.run("status", "--json").json
    assert (status["current"], status["holder"]) == (version, None)
    assert status["last_run"]["state"] == "ok"
    pending = command.run("pending", "--json").json
    assert [commit["subject"] for commit in pending["commits"]] == ["Página pendente"]
    assert "Página pendente" in command.run("pending").out
    (run,) = command.run("runs", "--json").json
    assert run["version"] == version
    assert run["id"] in command.run("runs").out
    assert "successfully deployed" in command.run("log", run["id"][-4:]).out
    events = [json.loads(line) for line in command.run("log", "--json").out.splitlines()]
    assert events[-1]["event"] == "run-finished"


def test_pending_names_the_commit_that_takes_others_back(command: Command, sample: SampleSite) -> None:
    sample.commit({"data/html/new.php": "<?php"}, "Página retirada")
    assert command.run("deploy").code == 0
    git("push", "-qf", "origin", "HEAD~1:main", cwd=sample.developer)
    target = git("log", "-1", "--format=%h %s", "--abbrev=9", "HEAD~1", cwd=sample.developer).strip()
    out = command.run("pending").out
    assert f"Live now, and not in {target}, which would be deployed:" in out
    assert "Página retirada" in out


def test_pending_fails_where_a_deploy_would_be_refused(command: Command, sample: SampleSite) -> None:
    assert command.run("deploy").code == 0
    sample.commit({"data/html/x.php": "<?php"}, "Página pendente")
    git("commit", "--quiet", "--allow-empty", "--message", "precious", cwd=sample.source_dir)
    pending, deploy = command.run("pending"), command.run("deploy")
    assert (pending.code, deploy.code) == (3, 3)
    assert "Página pendente" in pending.out
    assert "1 commit that origin never had" in pending.err
    assert pending.err.strip().removeprefix("govma-console: ") in deploy.err
    as_json = command.run("pending", "--json")
    assert (as_json.code, "precious" in as_json.json["refusal"]) == (3, True)
    git("push", "--quiet", "--force", "origin", "HEAD:main", cwd=sample.source_dir)
    assert command.run("pending").code == 0


def test_pending_of_a_version_without_manifest_says_so(command: Command) -> None:
    result = command.run("pending")
    assert result.code == 0
    assert f"{LEGACY_VERSION} has no recorded commit" in result.out


def test_rollback_and_promote(command: Command, sample: SampleSite) -> None:
    version = command.run("deploy").out.strip()
    assert command.run("rollback").out.strip() == LEGACY_VERSION
    assert current(sample) == LEGACY_VERSION
    assert command.run("promote", version[:24]).out.strip() == version
    again = command.run("promote", version)
    assert (again.code, "live already" in again.err) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["rollback", LEGACY_VERSION], 5, "live already"),
        (["rollback", "1999"], 5, LEGACY_VERSION),
        (["rollback"], 5, "Name the one to go back to"),
        (["promote", "../.."], 5, "There is no version"),
        (["rollback", ""], 2, "No version is named"),
        (["release", ""], 2, "No commit is named"),
        (["deploy", "--ref", "no-such-ref"], 1, "is no branch of origin"),
        (["deploy", "--ref", "--upload-pack=x"], 2, "expected one argument"),
        (["log"], 2, "no run yet"),
        (["log", "nothing"], 2, "There is no run"),
        (["attach"], 5, "log` prints the log of the last run"),
        (["cancel"], 5, "Nothing is running"),
        (["check", "nosuch"], 5, "There is no version"),
        (["check", LEGACY_VERSION], 3, "There is nothing to test a version in"),
        (["promote"], 2, "VERSION"),
        (["fly"], 2, "invalid choice"),
        ([], 2, "no terminal to draw on"),
    ],
)
def test_what_makes_no_sense_is_a_sentence_and_an_exit_code(
    command: Command, sample: SampleSite, arguments: list[str], code: int, sentence: str
) -> None:
    result = command.run(*arguments)
    assert (result.code, sentence in result.err) == (code, True), result.err
    assert current(sample) == LEGACY_VERSION


def test_a_preflight_failure_exits_with_3_and_names_everything(command: Command, sample: SampleSite) -> None:
    sample.env_file.unlink()
    (sample.vendor_dir / "themes.tar.gz").unlink()
    result = command.run("deploy")
    assert result.code == 3
    assert "env_file" in result.err
    assert "themes_tarball" in result.err
    attached = command.run("attach", next(command.runs.records()).id)
    assert (attached.code, "themes_tarball" in attached.err) == (3, True)


def test_a_wrong_setting_exits_with_3_and_names_the_nearest(command: Command, sample: SampleSite) -> None:
    with sample.config_file.open("a") as file:
        file.write('\nbrnach = "main"\n')
    result = command.run("list")
    assert result.code == 3
    assert "Did you mean branch?" in result.err


def test_the_environment_wins_and_config_says_where_from(command: Command) -> None:
    result = command.run("config", "--json", GOV_MA_WORK_DIR="/srv/elsewhere/work")
    assert result.json["work_dir"] == {"value": "/srv/elsewhere/work", "from": "$GOV_MA_WORK_DIR"}
    assert result.json["branch"] == {"value": "main", "from": "default"}
    assert "/srv/elsewhere/work" in command.run("config", GOV_MA_WORK_DIR="/srv/elsewhere/work").out


def test_config_and_doctor_name_the_settings_file_also_one_that_sets_nothing(tmp_path: Path) -> None:
    """Guards a relative path, and a file in which every line is a comment, from being called no file."""
    (tmp_path / "site.toml").write_text('versions_dir = "/srv/versions"\n')
    (tmp_path / "empty.toml").write_text('# branch = "main"\n')
    for name in ("site.toml", "empty.toml"):
        command = Command(Path(os.path.relpath(tmp_path / name)), tmp_path)
        report = command.run("config")
        assert report.err.splitlines()[0] == f"file: {tmp_path / name}"
        assert ("settings file" in report.out) == (name == "site.toml")
        assert command.run("doctor").out.splitlines()[0].endswith(f" {tmp_path / name}")


def test_init_writes_a_file_that_holds_the_exports_and_does_not_replace_one(command: Command, tmp_path: Path) -> None:
    script, target = tmp_path / "run-deploy.sh", tmp_path / "new.toml"
    script.write_text("export GOV_MA_WORK_DIR=/srv/other/work\n. /home/app/ci/deploy.sh\n")
    assert command.run("init", "--from", str(script), "-o", str(target)).code == 0
    settings = Command(target, tmp_path).run("config", "--json").json
    assert settings["work_dir"] == {"value": "/srv/other/work", "from": str(target)}
    assert command.run("init", "-o", str(target)).code == 5
    assert command.run("init", "-o", str(tmp_path / "none/x.toml")).code == 5
    script.write_text("echo hello\n")
    assert command.run("init", "--from", str(script), "-o", str(tmp_path / "y.toml")).code == 2


def test_hostile_names_on_disk_reach_no_terminal_and_stop_nothing(command: Command, sample: SampleSite) -> None:
    os.mkdir(os.fsencode(sample.versions_dir) + b"/odd\xff\x1b[31m")
    (sample.versions_dir / "current-version").unlink()
    os.symlink(b"gone\xff\x1b]0;title\x07", os.fsencode(sample.versions_dir) + b"/current-version")
    for arguments in (["list"], ["status"], ["list", "--json"], ["status", "--json"], ["config"]):
        for encoding in ("utf-8:strict", "ascii:strict"):
            result = command.run(*arguments, PYTHONIOENCODING=encoding)
            assert result.code == 0, result.err
            assert "\x1b" not in result.out + result.err


def test_output_into_a_closed_pipe_is_no_error(command: Command) -> None:
    line = " ".join(command.line("config"))
    without_output = subprocess.run(["sh", "-c", f"{line} >&-"], capture_output=True, text=True, check=True)
    assert "Traceback" not in without_output.stderr
    result = subprocess.run(["sh", "-c", f"{line} | head -n 1"], capture_output=True, text=True, check=True)
    assert "rror" not in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_the_exit_code_is_the_results_when_the_reader_of_the_output_has_gone(
    command: Command, sample: SampleSite
) -> None:
    version = command.run("deploy").out.strip()
    with (sample.versions_dir / version / "html/index.php").open("a") as file:
        file.write("changed")
    sample.env_file.rename(sample.env_file.with_name("away"))
    for words in (
        "deploy",
        "deploy --json",
        "promote 1999",
        "rollback 1999",
        "doctor",
        "verify --json",
        "verify --all",
    ):
        line = command.line(*words.split())
        code = command.run(*words.split()).code
        assert code > 0, words
        for reader in ("| true", "2>&1 | true"):
            script = f"{{ sleep 0.1; {shlex.join(line)}; }} {reader}; exit ${{PIPESTATUS[0]}}"
            ended = subprocess.run(
                ["bash", "-c", script], env=environment(), capture_output=True, text=True, check=False
            )
            assert (ended.returncode, "Traceback" in ended.stderr) == (code, False), f"{words} {reader}"


def test_demo_deploys_takes_up_and_removes(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    command = Command(tmp_path / "unused.toml", folder / "state")
    first = command.run("demo", str(folder))
    assert first.code == 0, first.err
    assert len([line for line in first.out.splitlines() if "data-build--" in line]) == 2
    assert str(folder) in first.err
    assert "--remove" in first.err
    config_file = str(folder / "govma-console.toml")
    assert {line.count("--config") for line in first.err.splitlines() if config_file in line} == {1}
    assert "--config" not in first.err.splitlines()[-1]
    Command(Path(config_file), folder / "state").run("hold")
    refused = command.run("demo", str(folder))
    assert refused.code == 5
    assert f"`govma-console --config {config_file} release`" in refused.err
    Command(Path(config_file), folder / "state").run("release")
    again = command.run("demo", str(folder))
    assert again.code == 0
    assert len([line for line in again.out.splitlines() if "data-build--" in line]) == 3
    (folder / "govma-console.toml").unlink()
    half = command.run("demo", str(folder))
    assert half.code == 5
    assert f"not finished: remove it (demo --remove {folder})" in half.err
    assert command.run("demo", "--remove", str(folder)).code == 0
    assert not folder.exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").write_text("x")
    assert command.run("demo", str(tmp_path / "mine")).code == 5
    assert command.run("demo", "--remove", str(tmp_path / "mine")).code == 5
    assert (tmp_path / "mine/file").read_text() == "x"


def test_a_demo_is_not_removed_from_under_a_run(command: Command, sample: SampleSite) -> None:
    sample.state_dir.mkdir(exist_ok=True)
    with hold_lock(sample.state_dir, Holder("x", "deploy", "ana", 1.0)):
        result = command.run("demo", "--remove", str(sample.root))
        assert (result.code, "started by ana" in result.err) == (4, True), result.err
    assert sample.versions_dir.exists()
    assert command.run("demo", "--remove", str(sample.root)).code == 0
    assert not sample.root.exists()


def test_a_token_is_all_that_is_on_standard_output(command: Command, sample: SampleSite) -> None:
    """Guards `govma-console token ci > ci.token`."""
    with sample.config_file.open("a") as file:
        file.write(f'\ntoken_file = "{sample.root}/tokens"\n')
    result = command.run("token", "ci")
    assert result.code == 0, result.err
    assert len(result.out.split()) == 1
    assert result.out.endswith("\n")
    assert "Authorization: Bearer" in result.err


def test_a_state_dir_in_a_place_that_is_not_there_is_not_made(command: Command, sample: SampleSite) -> None:
    """Guards the locks, pins and holds from a second place for them, made by a mistyped setting."""
    text = sample.config_file.read_text()
    wrong = sample.root / "no such place/state"
    sample.config_file.write_text(text.replace(str(sample.state_dir), str(wrong)))
    for arguments in (["deploy"], ["hold"], ["pin", LEGACY_VERSION]):
        result = command.run(*arguments)
        assert result.code == 3
        assert "Make the directory above it, or correct the setting" in result.err
    assert not wrong.parent.exists()


def test_if_new_ends_as_unchanged_and_prints_the_live_version(command: Command) -> None:
    version = command.run("deploy", "--if-new").out.strip()
    again = command.run("deploy", "--if-new")
    assert (again.code, again.out.strip()) == (0, version)
    assert f"nothing new: {version} is live with " in again.err
    record = command.run("deploy", "--if-new", "--json").json
    assert (record["state"], record["exit_code"], record["version_before"]) == ("unchanged", 0, version)


def test_status_without_a_live_version_says_so_once(command: Command, sample: SampleSite) -> None:
    link = sample.versions_dir / "current-version"
    link.unlink()
    lines = command.run("status").out.splitlines()
    assert lines[0] == f"current-version  {link} is missing: nothing is live. Deploy, or promote a version."
    assert not [line for line in lines[1:] if "missing" in line or "none" in line]


def test_the_console_says_that_it_draws_on_standard_error(command: Command) -> None:
    main, terminal = os.openpty()
    try:
        result = subprocess.run(
            command.line(),
            env=environment(TERM="xterm"),
            stdin=terminal,
            stdout=terminal,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(main)
        os.close(terminal)
    assert result.returncode == 2
    assert b"draws on standard error" in result.stderr


@pytest.mark.parametrize("words", [("deploy",), ("services", "up")])
def test_an_option_that_a_command_does_not_have_is_answered_with_its_own_usage(
    command: Command, words: tuple[str, ...]
) -> None:
    refusal = command.run(*words, "--foo")
    assert refusal.code == 2
    assert f"govma-console {' '.join(words)}: error: unrecognized arguments: --foo" in refusal.err


def test_a_state_dir_that_is_a_file_is_a_wrong_setting_for_views_too(command: Command, sample: SampleSite) -> None:
    file = sample.root / "file"
    file.touch()
    for view in ("list", "status", "runs", "history"):
        refusal = command.run(view, GOVMA_STATE_DIR=str(file))
        assert (refusal.code, "A setting leads through a file" in refusal.err) == (3, True), refusal.err
