"""Git's identity on a real machine: a deploy key and a rewritten address, from wherever a deploy starts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.server.systemd.service import CONFIG, SITE, Service
from tests.support.machine import COMMAND, Machine

_PREPARE = f"""
cp -a {SITE}/remote.git /home/node/site.git
install -d -m 700 /root/.ssh /home/node/.ssh
ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/deploy-key
cp /root/.ssh/deploy-key.pub /home/node/.ssh/authorized_keys
chown -R node: /home/node
install -d /run/sshd
/usr/sbin/sshd -o Port=2222 -o ListenAddress=127.0.0.1 -o PasswordAuthentication=yes -o PidFile=/run/test-sshd.pid
for attempt in 1 2 3 4 5; do
    ssh-keyscan -p 2222 127.0.0.1 >/root/.ssh/known_hosts 2>/dev/null && break; sleep 0.3
done
cat >/root/.gitconfig <<END
[url "ssh://node@127.0.0.1:2222/home/node/site.git"]
    insteadOf = https://git.invalid/site.git
[core]
    sshCommand = ssh -i /root/.ssh/deploy-key -o IdentitiesOnly=yes
END
for clone in {SITE}/developer {SITE}/build-env/gov-tech__ma; do
    git -C $clone remote set-url origin https://git.invalid/site.git
done
"""


@pytest.fixture(scope="module", name="remote")
def _remote(machine: Machine) -> Machine:
    """Put the site's repository behind sshd, where only root's deploy key gets, and only root's ~/.gitconfig leads."""
    machine.shell(_PREPARE)
    return machine


def _commit(machine: Machine, name: str) -> None:
    machine.shell(
        f"cd {SITE}/developer; touch data/html/{name}.txt; git add -A; git commit --quiet --message {name};"
        " HOME=/root git push --quiet origin HEAD:main"
    )


def _from_the_command(service: Service) -> str:
    return service.machine.run("env", "HOME=/root", COMMAND, "--config", CONFIG, "deploy").err


def _from_cron(service: Service) -> str:
    return service.machine.run("env", "-i", COMMAND, "--config", CONFIG, "deploy").err


def _from_the_service(service: Service) -> str:
    service.install()
    service.systemctl("start", "govma-console.service")
    pid = service.show("MainPID")
    assert "HOME=" not in service.machine.out("cat", f"/proc/{pid}/environ").split("\0")
    return service.deploy().result().out


@pytest.mark.parametrize("deploy", [_from_the_command, _from_cron, _from_the_service])
def test_a_deploy_key_and_a_rewritten_address_serve_wherever_it_starts(
    remote: Machine, service: Service, deploy: Callable[[Service], str]
) -> None:
    name = deploy.__name__.strip("_").replace("_", "-")
    _commit(remote, name)
    log = deploy(service)
    assert "successfully deployed" in log, log
    assert remote.exists(f"{SITE}/www_versions/current-version/html/{name}.txt")


def test_a_key_that_is_refused_ends_in_a_sentence_and_in_no_question(remote: Machine, service: Service) -> None:
    remote.shell("mv /home/node/.ssh/authorized_keys /home/node/.ssh/away")
    try:
        ended = remote.run("env", "-i", COMMAND, "--config", CONFIG, "pending")
    finally:
        remote.shell("mv /home/node/.ssh/away /home/node/.ssh/authorized_keys")
    assert ended.code == 1
    assert "git fetch failed" in ended.err
    assert "Permission denied (publickey,password)" in ended.err
