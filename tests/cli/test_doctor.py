"""The doctor on a server that has nothing, mended command by command until a deploy goes through."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from govma_console.server import doctor
from govma_console.server.systemd_units import SERVICE
from govma_core.settings import Settings
from tests.support.command import Command
from tests.support.sample import create_sample
from tests.support.server import configure

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="directories are given to other users")


@as_root
def test_from_nothing_to_a_deploy_by_what_it_says(tmp_path: Path) -> None:
    """Guards that what it tells to do is enough, that --fix does the safe part, and that it finds nothing then."""
    sample = create_sample(tmp_path / "site", builder="local")
    command = Command(sample.config_file, sample.state_dir)
    backup = tmp_path / "kept"
    backup.mkdir()
    for path in (sample.source_dir, sample.env_file, *sample.vendor_dir.iterdir()):
        shutil.move(path, backup / path.name)
    for path in (sample.versions_dir, sample.upload_dir, sample.vendor_dir):
        shutil.rmtree(path)
    report = command.run("doctor")
    assert report.code == 3
    assert "versions_dir" in report.out
    assert f"→ install -d -o 33 -g 33 -m 0755 {sample.versions_dir}" in report.out
    assert "→ git clone -b main REPOSITORY" in report.out
    fixed = command.run("doctor", "--fix")
    assert fixed.code == 3
    for path, owner in ((sample.versions_dir, 33), (sample.upload_dir, 33), (sample.vendor_dir, 0)):
        assert path.stat().st_uid == owner
    wrong = {finding["what"] for finding in command.run("doctor", "--json").json if finding["state"] == "wrong"}
    assert wrong == {"source_dir", "env_file", "ee_tarball", "themes_tarball"}
    others = {file.name: file for file in (sample.source_dir, sample.env_file)}
    for path in list(backup.iterdir()):
        shutil.move(path, others.get(path.name, sample.vendor_dir / path.name))
    report = command.run("doctor")
    assert report.code == 0, report.out
    assert "Nothing is wrong" in report.out
    assert command.run("deploy").code == 0
    assert "current-version   data-build--" in command.run("doctor").out
    command.run("hold", "election night")
    report = command.run("doctor")
    assert (report.code, report.out.splitlines()[-1].endswith("a deploy would be refused now: it is held.")) == (
        0,
        True,
    )


def test_globs_that_fit_nothing_are_named(tmp_path: Path) -> None:
    sample = create_sample(tmp_path / "site")
    text = sample.config_file.read_text()
    lines = [line for line in text.splitlines() if not line.startswith(("asset_inputs", "keep_single"))]
    globs = 'asset_inputs = ["package.json", "no/such/*"]\nkeep_single = ["html/index.php", "html/nothing.*"]\n'
    sample.config_file.write_text(globs + "\n".join(lines))
    findings = Command(sample.config_file, sample.state_dir).run("doctor", "--json").json
    notes = {each["what"]: each["said"] for each in findings if each["what"] in globs}
    assert notes == {
        "asset_inputs": "asset_inputs: no file of the repository fits no/such/*. Correct the setting.",
        "keep_single": "no file of the live version fits html/nothing.*",
    }


def test_a_program_for_credentials_that_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"credsStore": "absent"}')
    command = Command(tmp_path / "govma-console.toml", tmp_path / "state")
    command.config.write_text(f'state_dir = "{command.state_dir}"\n')
    variables = {"DOCKER_CONFIG": str(tmp_path), "DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
    findings = {finding["what"]: finding for finding in command.run("doctor", "--json", **variables).json}
    said = f"{tmp_path}/config.json takes credentials from docker-credential-absent, which is not installed"
    assert findings["docker"]["said"].startswith(said)


SEED = """
build-env/gov_ma_node_modules 1000
build-env/gov-tech__ma 0
build-env/tmp-build 1000
ci/vendor 0
persistent-storage/mysql 999
persistent-storage/nginx 101
persistent-storage/redis 1001
persistent-storage/upload-dir 33
persistent-storage/pythia 1000
www_versions 33
prod-env 0
"""
"""The directories of the operators' document, with their owners."""


@as_root
def test_the_layout_of_the_operators_document_is_right_as_it_is(tmp_path: Path) -> None:
    """Guards the first minute on a real server: its run-deploy.sh, its owners, no state_dir and no image_dir yet."""
    sample = create_sample(tmp_path / "app", builder="local")
    for path in (sample.state_dir, sample.image_dir):
        shutil.rmtree(path)
    for line in SEED.split("\n")[1:-1]:
        name, owner = line.split()
        (sample.root / name).mkdir(exist_ok=True)
        os.chown(sample.root / name, int(owner), int(owner))
    # What a deploy.sh that failed left for debugging.
    (sample.work_dir / "data").mkdir()
    os.chown(sample.work_dir / "data", 1000, 1000)
    variables = {
        "GOV_MA_GIT_SRC_DIR": sample.source_dir,
        "GOV_MA_SERVER_BASE_DIR": sample.versions_dir,
        "GOV_MA_UPLOAD_DIR": sample.upload_dir,
        "NODE_MODULES_CACHE_DIR": sample.node_modules_dir,
        "GOV_MA_USER_ENV_FILE": sample.env_file,
        "GOV_MA_WORK_DIR": sample.work_dir,
    }
    script = sample.root / "run-deploy.sh"
    exports = "".join(f"export {name}={path}\n" for name, path in variables.items())
    script.write_text(f"{exports}\n. {sample.root}/ci/deploy.sh\n")
    command = Command(tmp_path / "govma-console.toml", sample.state_dir)
    assert command.run("init", "--from", str(script), "-o", str(command.config)).code == 0
    # This machine need not have npm.
    without_npm = 'install_command = "true"\nbuild_commands = ["true"]\n'
    command.config.write_text(without_npm + command.config.read_text())
    others = {"GOVMA_STATE_DIR": str(sample.state_dir), "GOVMA_BUILDER": "local"}
    report = command.run("doctor", **others)
    assert (report.code, "WRONG" in report.out) == (0, False), report.out
    assert f"{sample.work_dir}\n" in report.out
    assert "the first run makes it" in report.out


@as_root
def test_a_state_dir_that_cannot_be_made_is_wrong(tmp_path: Path) -> None:
    command = Command(tmp_path / "govma-console.toml", tmp_path / "none/state")
    command.config.write_text(f'state_dir = "{command.state_dir}"\n')
    findings = {finding["what"]: finding for finding in command.run("doctor", "--json").json}
    assert (findings["state_dir"]["state"], findings["state_dir"]["command"]) == (
        "wrong",
        f"install -d {tmp_path / 'none'}",
    )


def test_what_the_service_takes_is_one_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "systemctl").write_text("#!/bin/sh\necho inactive\n")
    (tmp_path / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    for name in ("_SYSTEMD", "DIRECTORY"):
        monkeypatch.setattr(doctor, name, tmp_path)
    *_, finding = doctor.examine(Settings())
    assert finding.command == (
        "govma-console units --socket --install && systemctl daemon-reload && "
        "systemctl enable --now govma-console.socket govma-console.service"
    )


@pytest.mark.parametrize(("is_installed", "state"), [(False, "note"), (True, "wrong")])
def test_the_former_server_is_wrong_beside_the_new_one_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_installed: bool, state: str
) -> None:
    (tmp_path / "systemctl").write_text("#!/bin/sh\necho active\n")
    (tmp_path / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    for name in ("_SYSTEMD", "DIRECTORY"):
        monkeypatch.setattr(doctor, name, tmp_path)
    if is_installed:
        (tmp_path / SERVICE).touch()
    *_, finding = doctor.examine(Settings())
    assert (finding.state, finding.mend[-1]) == (state, "dispatcher-server.service")


@as_root
def test_wrong_owners_secrets_and_remotes_are_named(tmp_path: Path) -> None:
    sample = create_sample(tmp_path / "site", builder="local")
    command = Command(sample.config_file, sample.state_dir)
    os.chown(sample.versions_dir, 0, 0)
    sample.env_file.chmod(0o644)
    secret = tmp_path / "hook-secret"
    secret.write_text("open\n")
    configure(sample, hook_secret_file=str(secret))
    subprocess.run(["git", "-C", str(sample.source_dir), "remote", "set-url", "origin", "/nowhere"], check=True)
    findings = {finding["what"]: finding for finding in command.run("doctor", "--json").json}
    assert findings["versions_dir"]["command"] == f"chown 33:33 {sample.versions_dir}"
    assert findings["hook_secret_file"]["state"] == "wrong"
    assert f"chmod 600 {secret}" in findings["hook_secret_file"]["said"]
    assert findings["env_file"]["state"] == "note"
    assert findings["env_file"]["command"] == f"chmod o-r {sample.env_file}"
    assert findings["remote"]["state"] == "wrong"
    assert "/nowhere" in findings["remote"]["said"]
