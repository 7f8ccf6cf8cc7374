"""The commands for a user who may read, but not deploy, and for one who may not even read the records."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from govma_console.cli.main import main
from tests.support.command import Command, environment
from tests.support.rights import as_root, passable
from tests.support.sample import LEGACY_VERSION, create_sample

_NOBODY = 65534


@as_root
def test_another_user_reads_and_is_refused_to_deploy(command: Command) -> None:
    version = command.run("deploy").out.strip()
    # Imported before the change of user: the interpreter itself may lie where only root can read.
    script = (
        "import encodings.utf_8_sig, os, sys, shutil, humanize, govma_core.runs.launch, govma_core.deploy.pending\n"
        "import govma_console.cli.commands, govma_console.cli.follow\n"
        "from govma_console.cli import parser\nfrom govma_console.cli.main import main\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534); sys.exit(main(sys.argv[1:]))"
    )

    def as_nobody(*arguments: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-c", script, *command.line(*arguments)[3:]]
        return subprocess.run(line, env=environment(), capture_output=True, text=True, check=False)

    listed = as_nobody("list")
    assert listed.returncode == 0, listed.stderr
    assert version in listed.stdout
    assert as_nobody("status").returncode == 0
    refused = as_nobody("deploy")
    assert (refused.returncode, "Run as root" in refused.stderr) == (5, True)
    assert "Traceback" not in refused.stderr
    pending = as_nobody("pending")
    assert (pending.returncode, "Run as root" in pending.stderr) == (5, True), pending.stderr
    assert "dubious" not in pending.stderr


@contextmanager
def nobody() -> Iterator[None]:
    """Have the rights of a user who owns nothing, for the block."""
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(_NOBODY)
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


@as_root
def test_who_may_not_know_is_told_so_instead_of_a_guess(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Guards pinned versions from a plan that calls them removable, and a history from being called unrecorded."""
    site = create_sample(passable(tmp_path) / "site")
    passable(site.versions_dir)
    command = Command(site.config_file, site.state_dir)
    assert command.run("deploy").code == 0
    assert command.run("pin", LEGACY_VERSION).code == 0
    config = ["--config", str(site.config_file)]
    # Python itself may lie where nobody can read: what the commands import is there before.
    for words in (["history"], ["prune", "--dry-run"], ["list"], ["doctor"]):
        assert main([*config, *words]) in (0, 3)
    capsys.readouterr()
    with nobody():
        codes = [main([*config, "history"]), main([*config, "prune", "--dry-run", "--keep", "1"])]
        output = capsys.readouterr()
        assert (codes, output.out) == ([5, 5], "")
        assert output.err.count("cannot be read by this user") == 2
        assert main([*config, "list"]) == 0
        output = capsys.readouterr()
        assert output.out.count("not readable") == 2
        assert "no manifest" not in output.out
        assert "cannot be read by this user" in output.err
        assert main([*config, "doctor"]) in (0, 3)
        report = capsys.readouterr().out
        assert "chown" not in report
        assert "run the doctor as root" in report
