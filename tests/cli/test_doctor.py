"""The doctor on a server that has nothing, mended command by command until a deploy goes through."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from govma_console.server import doctor
from tests.support.command import Command
from tests.support.sample import create_sample

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


def test_what_the_service_takes_is_one_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "systemctl").write_text("#!/bin/sh\necho inactive\n")
    (tmp_path / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    for name in ("_SYSTEMD", "DIRECTORY"):
        monkeypatch.setattr(doctor, name, tmp_path)
    (finding,) = doctor.examine()
    assert finding.command == (
        "govma-console units --socket --install && systemctl daemon-reload && "
        "systemctl enable --now govma-console.socket govma-console.service"
    )


@as_root
def test_wrong_owners_secrets_and_remotes_are_named(tmp_path: Path) -> None:
    sample = create_sample(tmp_path / "site", builder="local")
    command = Command(sample.config_file, sample.state_dir)
    os.chown(sample.versions_dir, 0, 0)
    sample.env_file.chmod(0o644)
    subprocess.run(["git", "-C", str(sample.source_dir), "remote", "set-url", "origin", "/nowhere"], check=True)
    findings = {finding["what"]: finding for finding in command.run("doctor", "--json").json}
    assert findings["versions_dir"]["command"] == f"chown 33:33 {sample.versions_dir}"
    assert findings["env_file"]["state"] == "note"
    assert findings["env_file"]["command"] == f"chmod o-r {sample.env_file}"
    assert findings["remote"]["state"] == "wrong"
    assert "/nowhere" in findings["remote"]["said"]
