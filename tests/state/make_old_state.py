"""Makes old_state.tar.xz and old_outputs.json with the program of another checkout, which has a .venv of its own:

    git worktree add /tmp/old 3930470 && (cd /tmp/old && scripts/bootstrap)
    python -m tests.state.make_old_state /tmp/old

A small site is deployed, deduped, rolled back and pruned by that program, from the command line and over HTTP; then
runs are killed in the middle. The archive holds the site as it was after each kill, below /srv/old-site in all
files; the outputs are what the same program says about the first of them.
"""

from __future__ import annotations

import gzip
import json
import lzma
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from tests.state.old_site import (
    ARCHIVE,
    KEYS,
    OUTPUTS,
    ROOT,
    TOO_LATE,
    Program,
    environment,
    replace_root,
    show,
    show_http,
    unpack,
)

CREATE = "import sys; from pathlib import Path; from govma_console.sample import create_sample; "
CREATE += "create_sample(Path(sys.argv[1]), files=0, vendor_files=12)"

# The runner of that program, killed (SIGKILL) at one place.
KILLED = """
import errno, os, signal, sys
from pathlib import Path
from govma_core.build.moves import Moves
from govma_core.runs import runner
from govma_core.runs.launch import prepared_store, write_down
from govma_core.runs.requester import Requester
from govma_core.settings import load
from govma_core.versions import publish, removal

config, operation, at, arguments = sys.argv[1:]
settings = load({}, file=Path(config)).settings
store = prepared_store(settings)
record = write_down(store, settings, operation, eval(arguments), Requester("ana", "cli"))
# Killed by who started it, once others wait for it.
die = lambda *more, **named: os.kill(os.getpid(), signal.SIGSTOP)
moved = []

def across(*more):
    if moved:
        die()
    moved.append(1)
    # As between two file systems: the version is copied beside the others.
    raise OSError(errno.EXDEV, "Invalid cross-device link")

if at == "copy":
    publish._move = across
elif at == "switch":
    rename = os.rename
    os.rename = lambda old, new, **named: die() if new == "current-version" else rename(old, new, **named)
elif at == "clear":
    removal.clear_opened = die
elif at == "checkout":
    Moves._head = lambda self, head=Moves._head: head(self) if not moved and not moved.append(1) else die()
print(record.id, flush=True)
sys.argv = ["runner", str(settings.state_dir), record.id]
runner.main()
"""

PERSON = {"NAME": "João Carlos Sá", "EMAIL": "joao.sa@example.org"}

SETTINGS = """\
listen_addr = "127.0.0.1:0"
unix_socket = ""
token_file = "{site}/tokens"
hook_secret_file = ""
hooks_dir = ""
keep_versions = 2
"""

# Where a run is killed, by its operation: the deploy while its version lies beside the others under a hidden name, the
# rollback before its switch, the prune with a version set aside, the fetch with the checkout noted as moving.
KILLS = {
    "deploy": ("deploy", "copy", {"force": True}),
    "rollback": ("rollback", "switch", {}),
    "prune": ("prune", "clear", {"keep": 1, "older_than": None}),
    "checkout": ("deploy", "checkout", {"force": True}),
}


def main() -> None:
    python = str(Path(sys.argv[1]).absolute() / ".venv/bin/python")
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="old-state-") as folder:
        work = Path(folder)
        work.chmod(0o755)
        site, base = work / "site", work / "base"
        program = Program((python, "-P", "-m", "govma_console"), site / "govma-console.toml")
        subprocess.run([python, "-c", CREATE, str(site)], cwd="/", check=True)
        live_on(program)
        copy(site, base)
        for name in KILLS:
            shutil.rmtree(site)
            copy(base, site)
            kill(program, python, name)
            copy(site, work / name)
            replace_root(work / name, str(site), ROOT)
        with (
            lzma.open(ARCHIVE, "w", preset=9 | lzma.PRESET_EXTREME) as file,
            tarfile.open(fileobj=file, mode="w|") as archive,
        ):
            for name in KILLS:
                # Each with the same names in the same order: what they have in common is compressed to one.
                with tarfile.open(work / f"{name}.tar", "w") as inner:
                    inner.add(work / name, ".", filter=trimmed)
                archive.add(work / f"{name}.tar", f"{name}.tar", filter=trimmed)
        again = Program(program.words, unpack("deploy", work / "again") / "govma-console.toml")
        outputs = show(again) | {"http": show_http(again)}
        outputs["rollback"] = again.run("rollback", "--json").json["version"]
        OUTPUTS.write_text(json.dumps(outputs, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    print(f"{ARCHIVE.stat().st_size} and {OUTPUTS.stat().st_size} bytes")


def live_on(program: Program) -> None:
    """Have the site go through what sites go through."""
    site = program.site
    for tarball in (site / "ci/vendor").iterdir():
        # The archive as a whole is compressed, and what is in it in several places only once.
        tarball.write_bytes(gzip.compress(gzip.decompress(tarball.read_bytes()), 0, mtime=0))
    (site / "bin").mkdir()
    for name, version in (("node", "v16.20.2"), ("npm", "8.19.4")):
        (site / "bin" / name).write_text(f"#!/bin/sh\necho {version}\n")
        (site / "bin" / name).chmod(0o755)
    with program.config.open("a") as file:
        file.write(SETTINGS.format(site=site))
    (site / "token").write_text(program.run("token", "ci").out)
    (site / "token").chmod(0o600)
    with program.server() as server:
        # The first runs, the second waits, the third shares the second.
        ids = [server.deploy(key)[1] for key in KEYS]
        assert ids[0] != ids[1] == ids[2], ids
        for run in ids[:2]:
            program.run("attach", run)
    second, legacy = (live["version"] for live in program.run("history", "--json").json[:3:2])
    program.run("pin", legacy, "--reason", "the site of 2021")
    program.run("pin", second, "--reason", "before the redesign")
    commit(site, "tools/build.sh", "exit 3\n")
    program.run("deploy", code=1)
    subprocess.run(["git", "revert", "--no-edit", "HEAD"], cwd=site / "developer", check=True, env=author(site))
    commit(site, "data/html/robots.txt", "User-agent: *\nDisallow: /busca\n")
    program.run("deploy")
    program.run("dedupe")
    commit(site, "data/html/robots.txt", "User-agent: *\nDisallow: /\n")
    version = program.run("deploy", "--no-promote", "--json").json["version"]
    program.run("promote", version)
    program.run("rollback")
    program.run("pin", version)
    program.run("prune", "--keep", "1")
    program.run("unpin", version)
    (site / "www_versions" / second / "html/estranho.php").write_text("<?php\n")
    program.run("usage")
    program.run("hold", "election night")
    commit(site, "data/html/robots.txt", "User-agent: *\nDisallow: /admin\n")
    shutil.rmtree(site / "developer")
    for repository in ("remote.git", "build-env/gov-tech__ma"):
        subprocess.run(
            ["git", "-c", "pack.compression=0", "repack", "-adFq"],
            cwd=site / repository,
            check=True,
            env=environment(site),
        )


def kill(program: Program, python: str, name: str) -> None:
    """Have a run killed; where it is a deploy of the first kind, another one waits for it and goes the same way."""
    operation, at, arguments = KILLS[name]
    line = [python, "-P", "-c", KILLED, str(program.config), operation, at, repr(arguments)]
    runner = subprocess.Popen(
        line, cwd="/", env=environment(program.site), stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert runner.stdout is not None
    runner.stdout.readline()
    wait_for_state(runner.pid, "T")
    if name == "deploy":
        with program.server() as server:
            body = {"operation": "deploy", "arguments": {"force": True}}
            status, text = server.ask("/api/v1/runs", body, idempotency_key=TOO_LATE)
            assert status == 202, text
            deadline = time.monotonic() + 30
            while not (waiting := program.run("status", "--json").json["waiting"]):
                assert time.monotonic() < deadline
                time.sleep(0.1)
            os.kill(waiting[0]["pid"], signal.SIGKILL)
            runner.kill()
            runner.wait()
    runner.kill()
    runner.wait()
    (program.site / "server.log").unlink(missing_ok=True)


def wait_for_state(pid: int, letter: str) -> None:
    """Wait until a process is in a state of proc_pid_stat(5)."""
    deadline = time.monotonic() + 60
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != letter:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def commit(site: Path, path: str, text: str) -> None:
    (site / "developer" / path).write_text(text)
    subprocess.run(["git", "commit", "-qam", f"Altera {path}"], cwd=site / "developer", check=True, env=author(site))
    subprocess.run(["git", "push", "-q", "origin", "HEAD:main"], cwd=site / "developer", check=True)


def author(site: Path) -> dict[str, str]:
    names = {f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER") for part, value in PERSON.items()}
    return environment(site) | names


def copy(source: Path, target: Path) -> None:
    """Copy a tree with owners, times, links and hard links."""
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)


def trimmed(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out what takes room and nobody looks at; names of owners mean other ones on other machines."""
    if member.name.endswith(("/hooks", "/tmp-build/.git", "/tmp-build/resources", "/tmp-build/tools", "/logs")):
        return None
    member.uname = member.gname = ""
    member.mtime = int(member.mtime)
    return member


if __name__ == "__main__":
    main()
