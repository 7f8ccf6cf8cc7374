"""The container of a rehearsal has what compose gives the one that serves: each option that a service can have."""

from __future__ import annotations

import json
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from govma_core.engine.throwaway import throwaway
from govma_core.promotion import rehearsal_container
from govma_core.reporting import Reporter
from tests.support.command import environment
from tests.support.engine import Engine
from tests.support.php_site import PhpSite

SCHEMA = Path("/usr/lib/python3/dist-packages/compose/config/compose_spec.json")
"""Of docker-compose 1; later ones have it in their program."""

OPTIONS: dict[str, Any] = {
    "blkio_config": {"weight": 300},
    "cap_add": ["SYS_NICE"],
    "cap_drop": ["MKNOD"],
    "cgroup_parent": "govma.slice",
    "command": ["sleep 600"],
    "configs": ["file"],
    "container_name": "@NAME@",
    "cpu_shares": 512,
    "cpuset": "0",
    "device_cgroup_rules": ["c 1:3 r"],
    "devices": ["/dev/null:/dev/nothing:r"],
    "dns": ["127.0.0.11"],
    "dns_opt": ["timeout:1"],
    "dns_search": ["example.test"],
    "domainname": "example.test",
    "entrypoint": ["sh", "-c"],
    "env_file": ["env"],
    "environment": {"MODO": "real"},
    "expose": ["8080"],
    "external_links": ["@NAME@-other:fora"],
    "extra_hosts": ["um:192.0.2.1", "dois:2001:db8::2"],
    "group_add": ["1234"],
    "healthcheck": {"test": ["CMD", "true"], "interval": "1h"},
    "hostname": "portal",
    "image": "@IMAGE@",
    "init": True,
    "ipc": "shareable",
    "isolation": "default",
    "labels": {"app": "portal"},
    "links": ["other:banco"],
    "logging": {"driver": "json-file", "options": {"max-size": "2m"}},
    "mem_limit": "64m",
    "mem_reservation": "32m",
    "mem_swappiness": 10,
    "memswap_limit": "128m",
    "oom_kill_disable": True,
    "oom_score_adj": 100,
    "pid": "host",
    "pids_limit": 100,
    "ports": ["127.0.0.1::80"],
    "read_only": True,
    "restart": "always",
    "runtime": "runc",
    "secrets": ["file"],
    "security_opt": ["no-new-privileges:true"],
    "shm_size": "10m",
    "stdin_open": True,
    "stop_grace_period": "3s",
    "stop_signal": "SIGUSR1",
    "sysctls": {"net.ipv4.ip_unprivileged_port_start": "79"},
    "tmpfs": ["/tmp:size=1m,mode=1777"],
    "tty": True,
    "ulimits": {"nofile": {"soft": 200, "hard": 300}, "nproc": 400},
    "user": "1234",
    "userns_mode": "host",
    "volumes": ["@SITE@:/site", "@UPLOADS@:/uploads", "data:/data"],
    "volumes_from": ["other"],
    "working_dir": "/tmp",
}
ON_A_NETWORK = {
    "cpu_period": 50_000,
    "cpu_quota": 25_000,
    "mac_address": "02:42:ac:11:65:43",
    "networks": {"cms": {"aliases": ["www"]}},
}
ON_THE_DEFAULT_NETWORK = {"cpus": 0.5, "network_mode": "bridge"}
"""What excludes some of those."""

WITHOUT_EFFECT = {
    *("build", "depends_on", "deploy", "extends", "platform", "profiles", "pull_policy", "scale"),
    # For Windows, and for engines and kernels that are set up for it; `privileged` needs a machine of its own.
    *("cpu_count", "cpu_percent", "credential_spec", "cpu_rt_period", "cpu_rt_runtime", "privileged", "storage_opt"),
}
"""Options which say nothing of the container, or nothing on this machine."""

DIFFERENT = {"Binds", "Mounts", "VolumesFrom", "PortBindings", "LogConfig", "RestartPolicy", "NetworkMode"}
"""Of HostConfig; docs/serving.md names them."""


def test_every_option_that_compose_knows_is_here() -> None:
    """With version 1 of compose, which has its schema in a file; version 2 refuses below what it does not know."""
    if SCHEMA.exists():
        properties = json.loads(SCHEMA.read_text())["definitions"]["service"]["properties"]
        assert {*OPTIONS, *ON_A_NETWORK, *ON_THE_DEFAULT_NETWORK, *WITHOUT_EFFECT} == set(properties)


@pytest.mark.parametrize("more", [ON_A_NETWORK, ON_THE_DEFAULT_NETWORK], ids=["network", "default"])
def test_all_else_is_as_in_the_container_that_serves(
    docker_engine: Engine, busybox_image: str, site: PhpSite, more: dict[str, Any]
) -> None:
    """Guards a good version against failing for what a container of the site has and this one would lack."""
    name = f"{site.root.parent.name}-{'networks' in more}".lower()
    names = {"@NAME@": name, "@IMAGE@": busybox_image, "@SITE@": str(site.directory), "@UPLOADS@": str(site.uploads)}
    other = {"image": busybox_image, "command": ["sleep", "600"], "container_name": f"{name}-other"}
    other |= {key: more[key] for key in ("networks", "network_mode") if key in more}
    file = {"file": {"file": "env"}}
    project: dict[str, Any] = {"services": {"web": OPTIONS | more, "other": other}, "volumes": {"data": {}}}
    project |= {"networks": {"cms": {}}, "configs": file, "secrets": file}
    text = json.dumps(project)
    for placeholder, value in names.items():
        text = text.replace(placeholder, value)
    (site.root / "docker-compose.yml").write_text(text)
    (site.root / "env").write_text("BANCO=db-7\n")

    def compose(*arguments: str) -> None:
        line = ["docker-compose", "-p", name, *arguments]
        done = subprocess.run(line, cwd=site.root, capture_output=True, text=True, check=False, env=environment())
        assert done.returncode == 0, done.stderr

    with docker_engine.client() as client, ExitStack() as stack:
        stack.callback(compose, "down", "-v", "-t", "0")
        compose("up", "-d")
        serving = client.containers.get(name)
        site.flags["rehearsal_like"] = name
        config, _, others = rehearsal_container.like(client, site.settings)
        assert others == {}
        copy = stack.enter_context(throwaway(client, Reporter(lambda event: None), "", f"{name}-copy", config))
        copy.start()
        copy.reload()
        serving.reload()
        theirs, ours = serving.attrs, copy.attrs
        assert ours["State"]["Running"]
        # On the default network links are told with the name of the container itself.
        told = json.loads(json.dumps(theirs["HostConfig"]).replace(f"/{serving.name}/", f"/{copy.name}/"))
        for host in (told, ours["HostConfig"]):
            # The engine tells them in no order.
            host["Links"] = sorted(host["Links"] or ())
        differing = {key for key, value in told.items() if ours["HostConfig"].get(key) != value}
        assert differing <= DIFFERENT
        # By its id: the name may have got another image since.
        changed = {key for key, value in theirs["Config"].items() if ours["Config"].get(key) != value}
        assert changed <= {"Image", "MacAddress"}
        assert ours["Image"] == theirs["Image"]
        assert ours["HostConfig"]["PortBindings"] in (None, {})
        assert ours["HostConfig"]["RestartPolicy"]["Name"] in ("", "no")
        # Where the version is mounted in the end.
        mounts = {mount["Destination"]: mount["RW"] for mount in ours["Mounts"] if mount["Destination"] != "/site"}
        assert mounts.keys() == {mount["Destination"] for mount in theirs["Mounts"]} - {"/site"}
        assert not any(mounts.values())
        assert b"size=1024k" in copy.exec_run("grep /tmp /proc/mounts").output
        hosts = copy.exec_run("cat /etc/hosts").output
        assert b"192.0.2.1\tum" in hosts
        ((network, endpoint),) = ours["NetworkSettings"]["Networks"].items()
        assert not {str(serving.name), "www", "web"} & set(endpoint["Aliases"] or ())
        if network == "bridge":
            assert b"\tbanco" in hosts
        else:
            assert sorted(endpoint["Links"]) == sorted(theirs["NetworkSettings"]["Networks"][network]["Links"]) != []
