"""Runs a private Docker engine until standard input says so or ends, then removes every trace of it.

Its arguments are features of the engine that are switched on. Prints `ready HOST` or `failed REASON`.
It is a process of its own so that the clean-up also happens when the test session is killed. The engine
touches neither the firewall chains nor the bridge, the containerd, the cgroups or the configuration of another engine
on the machine.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.support import engine_traces as traces
from tests.support.daemons import answers, remove_contents, spawn, wait_until
from tests.support.engine import ENGINE_PREFIX

PR_SET_CHILD_SUBREAPER = 36
CONTAINERD_CONFIG = """version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
"""


def start(undo: ExitStack, features: Sequence[str]) -> str:
    """Start containerd and dockerd; give the address of the engine. `undo` gets what undoes it all."""
    directory = Path(tempfile.mkdtemp(prefix=ENGINE_PREFIX, dir="/var/tmp"))
    name = directory.name.removeprefix(ENGINE_PREFIX)
    undo.callback(traces.remove_tree, directory)
    bridge, pool = traces.join(undo, name)
    cgroup = directory.name
    undo.callback(traces.remove_cgroups, cgroup)
    undo.callback(traces.kill_descendants)

    containerd_socket = directory / "containerd.sock"
    (directory / "containerd.toml").write_text(CONTAINERD_CONFIG)
    (directory / "daemon.json").write_text(json.dumps({"features": dict.fromkeys(features, True)}))
    containerd = spawn(
        undo,
        directory / "containerd.log",
        [
            "containerd",
            f"--config={directory}/containerd.toml",
            f"--address={containerd_socket}",
            f"--root={directory}/containerd",
            f"--state={directory}/containerd-state",
            "--log-level=warn",
        ],
    )
    wait_until(containerd_socket.exists, containerd, directory / "containerd.log")
    host = f"unix://{directory}/docker.sock"
    dockerd = spawn(
        undo,
        directory / "dockerd.log",
        [
            "dockerd",
            f"--host={host}",
            f"--config-file={directory}/daemon.json",
            f"--data-root={directory}/data",
            f"--exec-root={directory}/exec",
            f"--pidfile={directory}/dockerd.pid",
            f"--containerd={containerd_socket}",
            f"--bridge={bridge}",
            f"--default-address-pool=base={pool},size=24",
            "--iptables=false",
            "--ip6tables=false",
            "--exec-opt=native.cgroupdriver=cgroupfs",
            f"--cgroup-parent=/{cgroup}",
            "--log-level=warn",
        ],
    )
    wait_until(lambda: answers(host), dockerd, directory / "dockerd.log")
    undo.callback(remove_contents, host)
    return host


def main() -> int:
    """Run the engine; give 0 when it had started."""
    if os.fork():
        # Nobody's child: what a test ends with all that is below it must not be a container.
        os._exit(0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # Orphans below become our children, so that none escapes the final sweep.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with ExitStack() as undo:
        try:
            host = start(undo, sys.argv[1:])
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"failed {error}", flush=True)
            return 1
        finally:
            undo.callback(signal.signal, signal.SIGTERM, signal.SIG_IGN)
        print(f"ready {host}", flush=True)
        sys.stdin.readline()
    return 0


if __name__ == "__main__":
    sys.exit(main())
