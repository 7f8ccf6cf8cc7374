"""What a private Docker engine does to the machine outside its directory, and how each is undone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from contextlib import ExitStack, suppress
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from tests.support.locks import LOCKS, locked, shared

CGROUPS = Path("/sys/fs/cgroup")
IP_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
# Made by dockerd, containerd and its shims wherever their roots are; deepest first.
HOST_FILES = tuple(
    map(
        Path,
        (
            "/etc/docker/key.json",
            "/etc/docker",
            "/run/containerd/s",
            "/run/containerd",
            "/run/docker/plugins",
            "/run/docker",
        ),
    )
)


def run(*argv: str) -> None:
    """Run a command; raise CalledProcessError when it fails."""
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def join(undo: ExitStack, name: str) -> tuple[str, str]:
    """Make a network for an engine of that name, as make_network does, in turn with other private engines.

    What engines change under names that are not their own is noted by the first of them, and put back by the last.
    """
    LOCKS.mkdir(exist_ok=True)
    making, notes = LOCKS / "engines.making", LOCKS / "engines.json"

    def note(first: bool) -> None:
        if first:
            missing = [str(path) for path in HOST_FILES if not path.exists()]
            notes.write_text(json.dumps([missing, IP_FORWARD.read_text(), list(bridges())]))

    def put_back() -> None:
        missing, forwarding, bridges_before = json.loads(notes.read_text())
        for path in map(Path, missing):
            with suppress(OSError):  # never there, or somebody else's by now
                path.rmdir() if path.is_dir() else path.unlink()
        put_back_forwarding(forwarding, set(bridges_before))

    undo.enter_context(shared(making, LOCKS / "engines.using", note, put_back))
    with locked(making):
        return make_network(undo, name)


def bridges() -> dict[str, bool]:
    """Return the bridges of this machine, each with whether something is plugged into it."""
    return {path.parent.name: any(path.iterdir()) for path in Path("/sys/class/net").glob("*/brif")}


def put_back_forwarding(before: str, bridges_before: set[str]) -> None:
    """Set ip_forward to what it was, unless an engine that is no private one relies on it by now.

    An engine switches it on when it starts, and never looks again: where one has made a bridge meanwhile, or has
    containers, a 0 would cut them from their network.
    """
    others = bridges()
    if before.strip() == "0" and (others.keys() - bridges_before or any(others.values())):
        return
    IP_FORWARD.write_text(before)


def _routes() -> list[IPv4Network]:
    def address(field: str) -> IPv4Address:
        return IPv4Address(int.from_bytes(bytes.fromhex(field), "little"))

    lines = Path("/proc/net/route").read_text().splitlines()[1:]
    networks = [IPv4Network(f"{address(line.split()[1])}/{address(line.split()[7])}") for line in lines]
    return [network for network in networks if network.prefixlen > 0]


def make_network(undo: ExitStack, name: str) -> tuple[str, str]:
    """Make a bridge in a free part of 172.31, with a way out; give both the bridge and a pool for more networks.

    The engine is told to leave the firewall alone, because it would flush the chains of another one.
    """
    routes = _routes()
    blocks = IPv4Network("172.31.0.0/16").subnets(new_prefix=20)
    block = next((block for block in blocks if not any(map(block.overlaps, routes))), None)
    if block is None:
        raise OSError("no part of 172.31.0.0/16 is free for its network")
    lower, upper = block.subnets()

    bridge = f"gvt{name}"
    mark = ["-m", "comment", "--comment", f"private Docker engine {name} of a test"]
    run("ip", "link", "add", bridge, "type", "bridge")
    undo.callback(run, "ip", "link", "delete", bridge)
    run("ip", "address", "add", f"{lower[1]}/24", "dev", bridge)
    run("ip", "link", "set", bridge, "up")
    IP_FORWARD.write_text("1\n")
    for table, chain, rule in (
        ("nat", "POSTROUTING", ["-s", str(block), "!", "-d", str(block), "-j", "MASQUERADE"]),
        ("filter", "FORWARD", ["-s", str(block), "-j", "ACCEPT"]),
        ("filter", "FORWARD", ["-d", str(block), "-j", "ACCEPT"]),
    ):
        run("iptables", "-w", "-t", table, "-I", chain, *rule, *mark)
        undo.callback(run, "iptables", "-w", "-t", table, "-D", chain, *rule, *mark)
    return bridge, str(upper)


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def kill_descendants() -> None:
    """Kill and reap every process below this one; orphans come here while it is their subreaper."""
    while children := _children(os.getpid()):
        todo = list(children)
        while todo:
            pid = todo.pop()
            todo += _children(pid)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(-1, 0)


def remove_tree(directory: Path) -> None:
    """Unmount what is mounted below the directory and remove it; not removed when something stays mounted."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4].encode().decode("unicode_escape") for line in lines]
    for point in reversed([point for point in points if Path(point).is_relative_to(directory)]):
        run("umount", "--lazy", point)
    shutil.rmtree(directory)


def remove_cgroups(name: str) -> None:
    """Remove the cgroup of that name in every hierarchy, from the leaves up."""
    for top in [CGROUPS / name, *CGROUPS.glob(f"*/{name}")]:
        for path, _, _ in os.walk(top, topdown=False):
            _remove_cgroup(Path(path))


def _remove_cgroup(path: Path) -> None:
    # The kernel needs a moment after the last process in it.
    deadline = time.monotonic() + 5
    while True:
        try:
            path.rmdir()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
