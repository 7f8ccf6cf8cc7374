"""What images were built from against what the commits have: prod-env, the live commit, and the one that is pending."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from govma_core import jsonfile
from govma_core.errors import GovmaError, SourceError
from govma_core.language import tr
from govma_core.services.drift import EVERY, NONE, SITE_DOWN, Difference, downtime_of
from govma_core.services.wanted import WantedProject
from govma_core.settings import Settings
from govma_core.versions.manifest import ManifestStore
from govma_core.versions.store import VersionStore

if TYPE_CHECKING:
    # Git's library is imported there: not before it is known that there is a checkout.
    from govma_core.operations.containers_due import Due
    from govma_core.operations.prod_env import Repository
    from govma_core.services.running import Seen

BUILT = "services-built.json"
"""File of state_dir: for each image that `services up` built, by its id, the commit that prod-env was at."""

_SYNC = "govma-console services up --sync"


@dataclass(frozen=True, slots=True)
class Sources:
    """What git tells without knowing the services: where prod-env is, what is edited there, what commits change."""

    head: str
    edited: tuple[str, ...]
    against: tuple[tuple[str, str, Due], ...]
    """`live` or `pending`, the commit, and what of it differs."""


def gather(settings: Settings) -> Sources | None:
    """Ask git; None without prod-env, SourceError when that is no checkout."""
    directory = settings.services_compose_dir
    if directory is None:
        return None
    if not (directory / ".git").exists():
        raise SourceError(
            tr("{directory} is no git checkout: what its containers were built from is not known.", directory=directory)
        )
    from govma_core.operations.prod_env import SOURCES, opened

    with opened(directory, settings) as project:
        head, edited = project.sha("HEAD"), tuple(project.edited(*SOURCES))
    against: list[tuple[str, str, Due]] = []
    # Without the checkout of the source there is nothing to compare with; deploys say what is wrong with it.
    with suppress(GovmaError, OSError):
        against += _against_commits(settings, head)
    return Sources(head, edited, tuple(against))


def source_differences(
    settings: Settings, sources: Sources, wanted: WantedProject | None, seen: Seen
) -> list[Difference]:
    """Return what differs in the sources of images."""
    directory = settings.services_compose_dir
    found: list[Difference] = []
    if directory is not None and any(service.builds for service in (wanted.services.values() if wanted else ())):
        from govma_core.operations.prod_env import opened

        with opened(directory, settings) as project:
            found += _not_built(settings, project, sources.head, wanted, seen)
    if sources.edited:
        what = tr("changed in prod-env and not committed: {some}", some=_some(sources.edited))
        found.append(Difference(EVERY, "edited", what, tr("commit it in the repository, or take it back"), NONE))
    told: set[str] = set()
    for word, commit, due in sources.against:
        for part, files in due.parts().items():
            if part not in told:
                told.add(part)
                found.append(_difference(settings, wanted, word, commit, part, files, due))
    return found


def live_commit(settings: Settings) -> str:
    """Return the commit of the version that is live, '' when it is not recorded."""
    name = VersionStore(settings.versions_dir).pointer().version
    manifest = ManifestStore(settings.state_dir).read(name) if name else None
    return manifest.commit if manifest else ""


def note_built(settings: Settings, images: dict[str, str]) -> None:
    """Write down from which commit of prod-env images were built (ids to commits); the last hundred are kept."""
    path = settings.state_dir / BUILT
    known = jsonfile.read(path) or {}
    kept = {name: commit for name, commit in known.items() if name not in images}
    jsonfile.replace(path, dict(list((kept | images).items())[-100:]))


def _not_built(
    settings: Settings, project: Repository, head: str, wanted: WantedProject | None, seen: Seen
) -> Iterator[Difference]:
    """Find images that are older than their sources in prod-env."""
    built = jsonfile.read(settings.state_dir / BUILT) or {}
    for service in wanted.services.values() if wanted else ():
        image = seen.tagged(service.image)
        # Of folders that are not in prod-env, and of addresses, its git knows nothing.
        if service.context is None or not image or not project.covers(service.context):
            continue
        base = str(built.get(image, ""))
        up = f"govma-console services up {service.name}"
        if project.has(base):
            files = [] if base == head else project.changed(base, head, service.context)
            if files:
                what = tr("its image was built before {some} changed in prod-env", some=_some(files))
                yield Difference(service.name, "sources", what, up, downtime_of(service, settings))
        elif (known := seen.images.get(image)) and project.committed(service.context) > known.named:
            what = tr("{context} changed in prod-env after its image was made", context=service.context)
            yield Difference(service.name, "sources", what, up, downtime_of(service, settings))


def _against_commits(settings: Settings, head: str) -> Iterator[tuple[str, str, Due]]:
    from govma_core.operations.containers_due import due_in
    from govma_core.operations.prod_env import opened

    live = live_commit(settings)
    with opened(settings.source_dir, settings) as source:
        pending = source.sha(f"refs/remotes/{settings.remote}/{settings.branch}")
        for word, commit in (("live", live), ("pending", pending)):
            due = due_in(source, head, commit, live, settings)
            if due is not None:
                yield word, commit, due


def _difference(
    settings: Settings, wanted: WantedProject | None, word: str, commit: str, part: str, files: list[str], due: Due
) -> Difference:
    services = list(wanted.services.values()) if wanted else []
    mine = next((each for each in services if each.context and files[0].startswith(f"{each.context}/")), None)
    names = f" ({', '.join(due.names)})" if part == ".env.sample" and due.names else ""
    what = tr(
        "{some}{names} in the {word} commit {commit} is not what prod-env ({base}) has",
        some=_some(files),
        names=names,
        word=word,
        commit=commit[:9],
        base=due.base[:9],
    )
    down = downtime_of(mine, settings) if mine else SITE_DOWN
    # A deploy first: prod-env goes to what is deployed, not further.
    takes = _SYNC if word == "live" else tr("a deploy, then {sync}", sync=_SYNC)
    return Difference(mine.name if mine else EVERY, "sources", what, takes, down)


def _some(files: Sequence[str]) -> str:
    return files[0] if len(files) == 1 else tr("{files} and {count} more", files=files[0], count=len(files) - 1)
