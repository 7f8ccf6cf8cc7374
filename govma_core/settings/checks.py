"""What the settings must be to one another before anything is emptied, chowned or renamed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from govma_core.language import tr
from govma_core.settings.model import Settings

_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
_ROLES = (
    "source_dir", "versions_dir", "upload_dir", "image_dir", "node_modules_dir", "vendor_dir", "state_dir", "env_file",
    "services_compose_dir", "services_storage_dir",
)  # fmt: skip


def check_together(settings: Settings) -> list[str]:
    """Return a sentence for each combination that would destroy something or cannot work."""
    return [*_places(settings), *_build(settings), *_addresses(settings), *_live(settings)]


def _places(settings: Settings) -> Iterator[str]:
    paths = {role: _real(path) for role in _ROLES if (path := getattr(settings, role)) is not None}
    work, state = _real(settings.work_dir), paths["state_dir"]
    if len(work.parts) < 3:
        yield tr("work_dir is {work}: it is emptied at each deploy, so it must be a directory of its own.", work=work)
    for role, path in paths.items():
        if path == work or work in path.parents:
            yield tr(
                "work_dir ({work}) is emptied at each deploy, but {role} ({path}) lies in it; give it "
                "a directory of its own.",
                work=work,
                role=role,
                path=path,
            )
        elif path in work.parents:
            yield tr("work_dir ({work}) must not lie in {role} ({path}).", work=work, role=role, path=path)
    for role in ("versions_dir", "upload_dir", "image_dir", "node_modules_dir", "source_dir"):
        outer = paths.get(role)
        if outer is not None and (outer == state or outer in state.parents):
            yield tr(
                "state_dir ({state}) must not lie in {role} ({outer}): others can write there.",
                state=state,
                role=role,
                outer=outer,
            )
    if paths["source_dir"] in (paths["versions_dir"], paths["upload_dir"]):
        yield tr("source_dir ({source_dir}) must be a directory of its own.", source_dir=settings.source_dir)


def _build(settings: Settings) -> Iterator[str]:
    for name in ("remote", "branch"):
        value = getattr(settings, name)
        if not value or value.startswith("-"):
            yield tr("{name} is {value!r}; it must be a name that git knows.", name=name, value=value)
    if not settings.all_build_commands:
        yield tr("install_command and build_commands are both empty; there is nothing to build with.")


def _addresses(settings: Settings) -> Iterator[str]:
    try:
        split_address(settings.listen_addr)
    except ValueError as error:
        yield tr("listen_addr {error}.", error=error)
    probed = urlsplit(settings.services_probe_url).hostname or "localhost"
    if not on_this_machine(settings.services_probe_url):
        yield tr(
            "services.probe_url asks {probed}: it is asked a hundred times a second, so it must be "
            "on this machine, such as http://127.0.0.1:80.",
            probed=probed,
        )
    for host in settings.allowed_hosts:
        if not _HOST.fullmatch(host):
            yield tr("allowed_hosts: {host!r} is no host name; leave scheme, port and path out.", host=host)


def _live(settings: Settings) -> Iterator[str]:
    ways = [name for name in ("image", "like", "command") if getattr(settings, f"rehearsal_{name}")]
    if len(ways) > 1:
        yield tr("rehearsal: {ways} exclude one another; a version is tried in one way.", ways=tr(" and ").join(ways))
    if settings.rehearsal_checks and not (settings.rehearsal_image or settings.rehearsal_like):
        yield tr("rehearsal.checks says what must be answered, but not where: set rehearsal.image or like.")
    asked = settings.activation_url or settings.activation_containers
    if (settings.activation_checks or settings.activation_proof_path) and not asked:
        yield tr("activation: checks and proof_path need to know who is asked: set activation.url or containers.")


def on_this_machine(url: str) -> bool:
    """Tell whether an address, '' included, leads to this machine and no other."""
    host = urlsplit(url).hostname or "localhost"
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def split_address(text: str) -> tuple[str, int]:
    """Take `host:port` apart, IPv6 addresses in brackets, an empty host for all; ValueError says what is wrong."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise ValueError(tr("is {text_!r}; it must be host:port, such as 127.0.0.1:50024", text_=text))
    if host.startswith("[") and host.endswith("]"):
        return host[1:-1], int(port)
    if ":" in host:
        raise ValueError(tr("is {text_!r}; an IPv6 address is written in brackets, such as [::1]:50024", text_=text))
    return host, int(port)


def _real(path: Path) -> Path:
    """Return where a path leads, as far as it is there: two names of one directory must not pass for two."""
    return Path(os.path.realpath(path))
