"""Differences between the compose files and the running containers, each with what it takes to remove it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from govma_core.services.compose_config import ComposeConfig, Mount, ServiceConfig
from govma_core.services.config_hash import Hashes
from govma_core.services.health import keeps_restarting
from govma_core.services.inspect import Container, Image, ProjectState
from govma_core.services.programs import exchange
from govma_core.settings import Settings
from govma_core.text.language import counted, date_format, marked, tr

SITE_DOWN, PERHAPS, NONE = "site", "pages", "none"
"""What does not answer while a difference is removed, as the words of the JSON."""

EVERY = "(all)"
"""Stands for the service where a difference is of no single one."""

_DOWNTIMES = {
    SITE_DOWN: marked("the site does not answer meanwhile"),
    PERHAPS: marked("pages that need it fail meanwhile"),
    NONE: marked("no downtime"),
}
_HTTP = ("80/tcp", "8080/tcp", "443/tcp")
_PROXIES = frozenset(("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY"))
"""Docker's clients put these into every container where their own settings say so."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference: of which service, of what kind, what it is, what it takes, and what does not answer meanwhile.

    `downtime` is SITE_DOWN, PERHAPS or NONE.
    """

    service: str
    kind: str
    what: str
    takes: str
    downtime: str

    def sentence(self) -> str:
        """Return it as one line."""
        return tr(
            "{service}: {what}. Takes: {takes}; {downtime}.",
            service=self.service,
            what=self.what,
            takes=self.takes,
            downtime=downtime_text(self.downtime),
        )


def downtime_text(code: str) -> str:
    """Return in words what does not answer meanwhile."""
    return tr(_DOWNTIMES[code])


def nothing_differs(project: str, *, every_setting: bool) -> str:
    """Say that all is as it should be, and what was compared when compose did not compare every setting."""
    if every_setting:
        return tr("All of {project} is as it should be.", project=project)
    return tr(
        "All of {project} is as it should be: images, environment, mounts, networks, ports, commands, restart "
        "policies. Other settings, such as health checks, are compared by `services up`.",
        project=project,
    )


def state_text(state: str) -> str:
    """Return the state of a service in words; those of Docker stay as they are."""
    return {"absent": tr("absent"), "unknown": tr("unknown")}.get(state, state)


def differences(
    config: ComposeConfig,
    state: ProjectState,
    settings: Settings,
    *,
    inactive: Collection[str] = (),
    hashes: Hashes | None = None,
) -> list[Difference]:
    """Compare all services; the sentences hold no values, nor paths that could be some.

    Services whose profile is not active (`inactive`) are not missed. `hashes`: compose's own, by service, of settings.
    """
    rows: list[Difference] = []
    for service in config.services.values():
        there = state.of(service.name)
        up = f"govma-console services up {service.name}"
        if not there:
            if service.replicas and service.name not in inactive:
                rows.append(Difference(service.name, "absent", tr("there is no container"), up, NONE))
            continue
        running = [each for each in there if each.running]
        down = downtime_of(service, settings) if running else NONE
        if len(there) != service.replicas and (running or service.replicas):
            has = counted(len(there), "container", "containers")
            what = tr("{has}, {wanted} wanted", has=has, wanted=service.replicas)
            fewer = len(there) > service.replicas
            rows.append(Difference(service.name, "replicas", what, up, down if fewer else NONE))
        if service.replicas and len(running) < len(there):
            # Those that run come first.
            rows.append(Difference(service.name, "stopped", stopped(there[-1]), up, NONE))
        if any(keeps_restarting(each) for each in running):
            takes = tr("look into `govma-console services log {service}`", service=service.name)
            rows.append(Difference(service.name, "stopped", tr("it keeps restarting"), takes, NONE))
        deviations = [pair for container in there for pair in compare(service, container, state)]
        hashed = (hashes or {}).get(service.name)
        own = [each for each in there if not exchange(each.made_by, second=config.second)]
        if hashed and not deviations and any(each.config_hash not in hashed for each in own):
            deviations = [
                ("settings", tr("another setting is wanted (health check, user, labels, limits or the like)"))
            ]
        rows += [Difference(service.name, kind, what, up, down) for kind, what in dict.fromkeys(deviations)]
        rows += [
            Difference(service.name, "place", what, tr("fix the compose file, then {up}", up=up), down)
            for what in dict.fromkeys(what for container in there for what in places(container, settings))
        ]
    for container in state.containers:
        if container.service not in config.services and container.service not in inactive:
            what = tr(
                "the container {name} is of a service that the compose file does not have any more", name=container.name
            )
            rows.append(Difference(container.service, "orphan", what, f"docker rm -f {container.name}", NONE))
    made_by = {each.made_by for each in state.containers}
    takes = "govma-console services up"
    exchanges = [exchange(version, second=config.second) for version in sorted(made_by)]
    rows += [Difference(EVERY, "compose", what, takes, SITE_DOWN) for what in exchanges if what]
    if unserved(config, state, settings):
        what = tr("no container has versions_dir mounted: what is deployed is not what they serve")
        takes = tr("mount it in the compose file, then {up}", up="govma-console services up")
        rows.append(Difference(EVERY, "place", what, takes, SITE_DOWN))
    return rows


def faces(service: ServiceConfig, settings: Settings) -> bool:
    """Tell whether the site is not served without it: it publishes a port, or has the versions mounted."""
    versions = real(str(settings.versions_dir))
    return bool(service.ports) or any(real(mount.source) == versions for mount in service.mounts)


def downtime_of(service: ServiceConfig, settings: Settings) -> str:
    """Return what does not answer while a service is exchanged."""
    return SITE_DOWN if faces(service, settings) else PERHAPS


def stopped(container: Container) -> str:
    """Say of a container what it does instead of running."""
    code = tr(" with exit code {exit_code}", exit_code=container.exit_code) if container.state == "exited" else ""
    return tr("it does not run: {state}{code}", state=container.state, code=code)


def compare(service: ServiceConfig, container: Container, state: ProjectState) -> Iterator[tuple[str, str]]:
    """Yield kind and words of each difference between a service and its container."""
    tagged = state.tagged(service.image)
    image = state.images.get(container.image_id)
    if not tagged:
        yield "image", tr("its image is not there") + (tr("; it has to be built") if service.builds else "")
    elif tagged != container.image_id:
        at = datetime.fromtimestamp(image.created).astimezone() if image and image.created else None
        day_made = tr(" of {day}", day=at.strftime(f"{date_format()} %H:%M")) if at else ""
        what = tr(
            "it runs the image {short}{made}; the image's name means {short2}",
            short=short(container.image_id),
            made=day_made,
            short2=short(tagged),
        )
        yield "image", what
    yield from _environment(service, container, image)
    yield from _mounts(service, container)
    yield from _networks(service, container)
    if service.ports != container.ports:
        inside = sorted({port for *_, port in service.ports ^ container.ports})
        yield "ports", tr("published differently: {inside}", inside=", ".join(inside))
    if image is not None:
        # Docker drops the image's command when an entrypoint is given.
        own_command = image.command if service.entrypoint is None else ()
        if container.command != (own_command if service.command is None else service.command):
            yield "command", tr("another command is wanted")
        if container.entrypoint != (image.entrypoint if service.entrypoint is None else service.entrypoint):
            yield "entrypoint", tr("another entrypoint is wanted")
    if service.restart.partition(":")[0] != container.restart:
        what = tr("restart policy {restart}, wanted {restart2}", restart=container.restart, restart2=service.restart)
        yield "restart", what


def _environment(service: ServiceConfig, container: Container, image: Image | None) -> Iterator[tuple[str, str]]:
    own: Mapping[str, bytes] = image.environment if image else {}
    has = container.environment
    want = {name: value for name, value in service.environment.items() if value is not None}
    changed = sorted(name for name in want.keys() & has.keys() if has[name] != want[name])
    added = sorted(want.keys() - has.keys())
    others = [name for name in has if name not in service.environment and name.upper() not in _PROXIES]
    removed = sorted(name for name in others if name not in own and image)
    back = sorted(name for name in others if name in own and has[name] != own[name])
    parts = ((tr("changed"), changed + back), (tr("added"), added), (tr("removed"), removed))
    summary = "; ".join(f"{word} {', '.join(names)}" for word, names in parts if names)
    if summary:
        yield "environment", tr("environment: {said}", said=summary)


def _mounts(service: ServiceConfig, container: Container) -> Iterator[tuple[str, str]]:
    want = {mount.target: mount for mount in service.mounts if mount.kind != "tmpfs"}
    have = {mount.target: mount for mount in container.mounts if mount.kind != "tmpfs"}
    for target, mount in want.items():
        now = have.get(target)
        if now is None:
            yield "mounts", tr("mount {target}: added", target=target)
        elif mount.source and not _same(mount, now):
            yield "mounts", tr("mount {target}: from another place", target=target)
        elif mount.writable != now.writable:
            mode = tr("writable") if mount.writable else tr("read-only")
            yield "mounts", tr("mount {target}: {read_only} is wanted", target=target, read_only=mode)
    for target, mount in have.items():
        if target not in want and target not in service.injected and len(mount.source) != 64:
            yield "mounts", tr("mount {target}: removed", target=target)


def _same(one: Mount, other: Mount) -> bool:
    is_same_place = one.kind == "bind" and real(one.source) == real(other.source)
    return one.kind == other.kind and (one.source == other.source or is_same_place)


def _networks(service: ServiceConfig, container: Container) -> Iterator[tuple[str, str]]:
    if service.networks is None:
        return
    for name in sorted(service.networks - container.networks):
        yield "networks", tr("it is not in the network {name}", name=name)
    for name in sorted(container.networks - service.networks):
        yield "networks", tr("it is in the network {name}, and should not be", name=name)


def unserved(config: ComposeConfig, state: ProjectState, settings: Settings) -> bool:
    """Tell whether there is a web server among the services, and no container has the versions."""
    if not any(inside in _HTTP for service in config.services.values() for *_, inside in service.ports):
        return False
    versions = real(str(settings.versions_dir))
    binds = [real(mount.source) for each in state.containers for mount in each.mounts if mount.kind == "bind"]
    # A mount of a single version is reported by places().
    has = any(versions.is_relative_to(source) or source.is_relative_to(versions) for source in binds)
    return bool(state.containers) and not has


def places(container: Container, settings: Settings) -> Iterator[str]:
    """Say what is wrong with where the versions and the uploads are mounted in a container."""
    # The name counts beside what it leads to: the link current-version leads elsewhere after each switch.
    by_name, versions = settings.versions_dir, real(str(settings.versions_dir))
    whole = None
    for mount in container.mounts:
        if mount.kind != "bind":
            continue
        source = real(mount.source)
        if source == versions:
            whole = mount
        elif any(place in path.parents for path in (source, Path(mount.source)) for place in (versions, by_name)):
            yield (
                tr(
                    "{target} is one version, not versions_dir: it is served whatever current-version points to. "
                    "Mount versions_dir itself",
                    target=mount.target,
                )
            )
    if whole is None:
        return
    # The link in a version is html/uploads -> ../../../uploads: beside the place where all versions are.
    beside = Path(whole.target).parent
    directories = (("uploads", "upload_dir", settings.upload_dir), ("images", "image_dir", settings.image_dir))
    for name, key, directory in directories:
        if directory is None or not directory.is_dir():
            continue
        at = str(beside / name)
        there = next((mount for mount in container.mounts if mount.target == at), None)
        if there is None:
            yield tr(
                "{key} is not mounted at {at}, where the link {name} of every version leads", key=key, at=at, name=name
            )
        elif real(there.source) != real(str(directory)):
            yield tr("{at}, where the link {name} of every version leads, is not {key}", at=at, name=name, key=key)


def real(path: str) -> Path:
    """Return where a path leads, as far as it is there."""
    return Path(os.path.realpath(path))


def short(image_id: str) -> str:
    """Return an image's id in its short form."""
    return image_id.removeprefix("sha256:")[:12]
