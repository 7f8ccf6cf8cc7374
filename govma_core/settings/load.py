"""Where the values of the settings come from, and which of them win."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from govma_core.config_file import CONFIG_VARIABLE, DEFAULT_FILE
from govma_core.errors import ConfigurationError
from govma_core.settings import build_steps
from govma_core.settings.model import Settings
from govma_core.settings.parse import KEYS, read_value
from govma_core.settings.validate import nearest
from govma_core.text.language import tr

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
    yield from build_steps.problems(settings.steps)


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
    asks_a_server = settings.activation_url or settings.activation_containers
    if (settings.activation_checks or settings.activation_proof_path) and not asks_a_server:
        yield tr("activation: checks and proof_path need to know who is asked: set activation.url or containers.")


def on_this_machine(url: str) -> bool:
    """Tell whether an address, '' included, leads to this machine and no other."""
    host = urlsplit(url).hostname or "localhost"
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def split_address(text: str) -> tuple[str, int]:
    """Take `host:port` apart as Go's net.Listen does; ValueError says what is wrong.

    IPv6 addresses are in brackets, an empty host is for all, a port may be the name of a service, an empty one is 0.
    """
    host, colon, name = text.rpartition(":")
    port = _port_of(name)
    if not colon or port is None:
        raise ValueError(tr("is {text_!r}; it must be host:port, such as 127.0.0.1:50024", text_=text))
    if host.startswith("[") and host.endswith("]"):
        return host[1:-1], port
    if ":" in host:
        raise ValueError(tr("is {text_!r}; an IPv6 address is written in brackets, such as [::1]:50024", text_=text))
    return host, port


def _port_of(name: str) -> int | None:
    if not name or name.isdecimal():
        port = int(name or 0)
        return port if port <= 65535 else None
    # Most settings name a number: they start without it.
    import socket

    try:
        return socket.getservbyname(name, "tcp")
    except (OSError, ValueError):
        return None


def local_url(host: str, port: int) -> str:
    """Return the URL by which this machine asks a server that listens there."""
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(host, host)  # noqa: S104 - asked, not listened on
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _real(path: Path) -> Path:
    """Return where a path leads, as far as it is there: two names of one directory must not pass for two."""
    return Path(os.path.realpath(path))


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """The effective settings, for each key where its value came from, in words, and the file that was read, if any."""

    settings: Settings
    origins: Mapping[str, str]
    file: Path | None


def load(
    environment: Mapping[str, str] | None = None,
    *,
    file: Path | None = None,
    flags: Mapping[str, Any] | None = None,
) -> LoadedSettings:
    """Read defaults, then the TOML file, then the environment, then flags (plain values by key).

    The file is `file`, else the one GOVMA_CONFIG names (both must exist), else /etc/govma-console.toml if it is there.
    Raises ConfigurationError with every problem found, a line each.
    """
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    origins = dict.fromkeys(KEYS, "default")
    problems: list[str] = []

    def put(name: str, origin: str, raw: object) -> None:
        try:
            values[name] = read_value(KEYS[name], raw)
            origins[name] = origin
        except ValueError as error:
            problems.append(f"{KEYS[name].written} ({origin}): {error}.")

    chosen = _chosen_file(environment, file)
    if chosen is not None:
        for name, raw in _read_file(chosen, problems).items():
            put(name, str(chosen), raw)
    for name, key in KEYS.items():
        if key.env and key.env in environment:
            put(name, f"${key.env}", environment[key.env])
    for name, value in (flags or {}).items():
        put(name, tr("command line"), value)

    both = values.get("build_steps") and values.get("build_commands")
    if both and origins["build_steps"] == origins["build_commands"]:
        problems.append(
            tr("build.steps and build_commands are both set. Write all commands in build.steps, and remove the other.")
        )
    if not problems:
        settings = Settings(**values)
        problems = check_together(settings)
        if not problems:
            return LoadedSettings(settings, origins, chosen)
    raise ConfigurationError("\n".join(problems))


def _chosen_file(environment: Mapping[str, str], file: Path | None) -> Path | None:
    if file is not None:
        return file
    if environment.get(CONFIG_VARIABLE):
        return Path(environment[CONFIG_VARIABLE])
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def _read_file(path: Path, problems: list[str]) -> dict[str, Any]:
    try:
        # Some editors begin a file with a byte-order mark.
        data = tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        problems.append(tr("The settings file {path} cannot be read: {strerror}.", path=path, strerror=error.strerror))
        return {}
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        problems.append(
            tr("The settings file {path} is not in UTF-8 (line {line}). Save it as that.", path=path, line=line)
        )
        return {}
    except ValueError as error:
        problems.append(tr("The settings file {path} is not valid TOML: {error}.", path=path, error=error))
        return {}
    names = {key.written: name for name, key in KEYS.items()}
    tables = {key.table for key in KEYS.values()}
    values = dict(_flat(data, tables))
    for spelling in values.keys() - names.keys():
        near = _similar(spelling, values[spelling], names, tables)
        hint = (
            tr(" Did you mean {near}?", near=tr(" or ").join(near))
            if near
            else tr(" `govma-console config` lists those there are.")
        )
        problems.append(tr("{path}: there is no setting {written!r}.{hint}", path=path, written=spelling, hint=hint))
    return {names[spelling]: raw for spelling, raw in values.items() if spelling in names}


def _similar(spelling: str, value: object, names: Collection[str], tables: Collection[str]) -> list[str]:
    """Return the tables or settings that may be meant by a name that is none: `[[rehearsal]]` is `[rehearsal]`."""
    if spelling in tables:
        return [f"[{spelling}]"]
    in_tables = [name for name in names if name.endswith(f".{spelling}")]
    if in_tables:
        return in_tables
    is_table = isinstance(value, dict) or (isinstance(value, list) and value and isinstance(value[0], dict))
    candidates = [f"[{table}]" for table in tables if table] if is_table and "." not in spelling else names
    return nearest(spelling, candidates)


def _flat(data: Mapping[str, Any], tables: Collection[str]) -> Iterator[tuple[str, Any]]:
    """Yield the values by the names they are written with, those in one of our tables as `table.name`."""
    for name, value in data.items():
        if name in tables and isinstance(value, dict):
            yield from ((f"{name}.{inner}", raw) for inner, raw in value.items())
        else:
            yield name, value
