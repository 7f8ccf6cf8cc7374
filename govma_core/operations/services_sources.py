"""What images were built from against what the commits have: prod-env, the live commit, and the one that is pending."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from govma_core import jsonfile
from govma_core.errors import GovmaError
from govma_core.operations.containers_due import Due, between
from govma_core.operations.prod_env import SOURCES, Repository, opened
from govma_core.services.drift import PERHAPS, SITE_DOWN, Difference, faces
from govma_core.services.running import Seen
from govma_core.services.wanted import Wanted, WantedProject
from govma_core.settings import Settings
from govma_core.versions.manifest import ManifestStore
from govma_core.versions.store import VersionStore

BUILT = "services-built.json"
"""File of state_dir: for each image that `services up` built, by its id, the commit that prod-env was at."""

_EVERY = "(all)"
_SYNC = "govma-console services up --sync"


def source_differences(settings: Settings, wanted: WantedProject | None, seen: Seen) -> list[Difference]:
    """Compare the sources of images; SourceError when prod-env is no checkout."""
    directory = settings.services_compose_dir
    if directory is None:
        return []
    with opened(directory, settings) as project:
        head = project.sha("HEAD")
        found = list(_not_built(settings, project, head, wanted, seen))
        edited = project.edited(*SOURCES)
    if edited:
        what = f"changed in prod-env and not committed: {_some(edited)}"
        found.append(Difference(_EVERY, "edited", what, "commit it in the repository, or take it back", "no downtime"))
    # Without the checkout of the source there is nothing to compare with; deploys say what is wrong with it.
    with suppress(GovmaError, OSError):
        found += _against_commits(settings, head, wanted)
    return found


def live_commit(settings: Settings) -> str:
    """Give the commit of the version that is live, '' when it is not recorded."""
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
        if service.context is None or not image:
            continue
        base = str(built.get(image, ""))
        up = f"govma-console services up {service.name}"
        if project.has(base):
            files = [] if base == head else project.changed(base, head, service.context)
            if files:
                what = f"its image was built before {_some(files)} changed in prod-env"
                yield Difference(service.name, "sources", what, up, _down(service, settings))
        elif (known := seen.images.get(image)) and project.committed(service.context) > known.created:
            what = f"{service.context} changed in prod-env after its image was made"
            yield Difference(service.name, "sources", what, up, _down(service, settings))


def _against_commits(settings: Settings, head: str, wanted: WantedProject | None) -> Iterator[Difference]:
    live = live_commit(settings)
    with opened(settings.source_dir, settings) as source:
        pending = source.sha(f"refs/remotes/{settings.remote}/{settings.branch}")
        told: set[str] = set()
        for word, commit in (("live", live), ("pending", pending)):
            if not (source.has(head) and source.has(commit)):
                continue
            due = between(source, head, commit, settings)
            if due is None:
                continue
            for part, files in due.parts().items():
                if part not in told:
                    told.add(part)
                    yield _difference(settings, wanted, word, commit, part, files, due)


def _difference(
    settings: Settings, wanted: WantedProject | None, word: str, commit: str, part: str, files: list[str], due: Due
) -> Difference:
    services = list(wanted.services.values()) if wanted else []
    mine = next((each for each in services if each.context and files[0].startswith(f"{each.context}/")), None)
    names = f" ({', '.join(due.names)})" if part == ".env.sample" and due.names else ""
    what = f"{_some(files)}{names} in the {word} commit {commit[:9]} is not what prod-env ({due.base[:9]}) has"
    down = _down(mine, settings) if mine else SITE_DOWN
    # A deploy first: prod-env goes to what is deployed, not further.
    takes = _SYNC if word == "live" else f"a deploy, then {_SYNC}"
    return Difference(mine.name if mine else _EVERY, "sources", what, takes, down)


def _down(service: Wanted, settings: Settings) -> str:
    return SITE_DOWN if faces(service, settings) else PERHAPS


def _some(files: list[str]) -> str:
    return files[0] if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"
