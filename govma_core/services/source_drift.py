"""What images were built from against what the commits have: prod-env, the live commit, and the one that is pending."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from govma_core.context import Context, commit_of
from govma_core.errors import GovmaError, RefusedError, SourceError
from govma_core.fs import jsonfile, safefs
from govma_core.git import GitCommands, GitFailedError
from govma_core.services.compose_config import WantedProject
from govma_core.services.drift import EVERY, NONE, SITE_DOWN, Difference, downtime_of
from govma_core.settings import Settings
from govma_core.text.clean import clean_line
from govma_core.text.language import tr
from govma_core.versions.manifest import ManifestStore
from govma_core.versions.store import VersionStore

if TYPE_CHECKING:
    pass  # self import
    pass  # self import
    from govma_core.services.inspect import Seen


SOURCES = ("docker", "docker-compose.yml", ".env.sample")
"""What containers are made from."""


class Repository:
    """Git in a directory; closed at the end of opened()."""

    def __init__(self, directory: Path, timeout: int) -> None:
        self.directory = directory
        self._git = GitCommands(directory, timeout)

    def close(self) -> None:
        """End the helper processes of GitPython."""
        self._git.repo.close()

    def has(self, sha: str) -> bool:
        """Tell whether it has a commit."""
        return bool(sha) and self.sha(sha) != ""

    def sha(self, name: str) -> str:
        """Return the commit that a name means, '' for none."""
        return self._git.sha(name)

    def contains(self, newer: str, older: str) -> bool:
        """Tell whether a commit has another one in its past, or is it."""
        return self._git.is_ancestor(older, newer)

    def covers(self, folder: str) -> bool:
        """Tell whether a folder, named from the top, is in it."""
        path = (self.directory / folder).resolve()
        return path.is_dir() and path.is_relative_to(self.directory.resolve())

    def changed(self, older: str, newer: str, *paths: str) -> list[str]:
        """Return the files below these paths that differ between two commits."""
        shown = self._git.run("diff", "--name-only", "-z", older, newer, "--", *paths)
        return [path for path in shown.split("\0") if path]

    def edited(self, *paths: str) -> list[str]:
        """Return the files below these paths that somebody changed here and did not commit."""
        return [path for path in self._git.run("diff", "--name-only", "-z", "HEAD", "--", *paths).split("\0") if path]

    def committed(self, path: str) -> float:
        """Return when a path was changed last, by the commits (epoch seconds); 0 for never."""
        shown = self._git.run("log", "-1", "--format=%ct", "--", path).strip()
        return float(shown or 0)

    def content(self, commit: str, path: str) -> str:
        """Return a file of a commit, '' when it has none."""
        try:
            return self._git.run("show", "--end-of-options", f"{commit}:{path}")
        except GitFailedError:
            return ""

    def fetch_from(self, directory: Path, sha: str) -> None:
        """Take a commit over from another checkout on this machine."""
        self._git.run("fetch", "--no-tags", "--quiet", "--", str(directory), sha)

    def forward(self, sha: str) -> None:
        """Move what is checked out straight ahead to a commit; RefusedError when local changes are in the way."""
        try:
            self._git.run("merge", "--ff-only", "--quiet", sha)
            with safefs.opened_root(self.directory) as fd:
                safefs.syncfs(fd)
        except GitFailedError as error:
            raise RefusedError(
                tr(
                    "{directory} cannot be moved forward to {sha}; nothing was changed. {error}",
                    directory=self.directory,
                    sha=sha[:9],
                    error=error,
                )
            ) from None

    def back(self, sha: str) -> None:
        """Move it back to where it was; changes of people are kept."""
        self._git.run("reset", "--keep", "--quiet", sha)


@contextmanager
def opened(directory: Path, settings: Settings) -> Iterator[Repository]:
    """Yield the checkout in a directory; SourceError when it is none."""
    if not (directory / ".git").exists():
        raise SourceError(
            tr("{directory} is no git checkout: what its containers were built from is not known.", directory=directory)
        )
    found = Repository(directory, settings.git_timeout)
    try:
        yield found
    finally:
        found.close()


_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Due:
    """What of the containers' sources differs between `base` (where prod-env is) and `target`."""

    base: str
    target: str
    files: tuple[str, ...]
    names: tuple[str, ...] = ()
    """Variables that `.env.sample` of the target names and that of the base does not."""

    def parts(self) -> dict[str, list[str]]:
        """Return the files by what is to be rebuilt: the folder below docker/, else the file itself."""
        found: dict[str, list[str]] = {}
        for path in self.files:
            pieces = path.split("/")
            part = pieces[1] if pieces[0] == "docker" and len(pieces) > 2 else path
            found.setdefault(part, []).append(path)
        return found

    def described(self) -> str:
        """Name the parts and their files."""
        said = []
        for part, files in self.parts().items():
            if files == [part]:
                new = tr(" (new: {names})", names=", ".join(self.names)) if part == ".env.sample" and self.names else ""
                said.append(f"{part}{new}")
            else:
                more = tr(", {count} more", count=len(files) - _SHOWN) if len(files) > _SHOWN else ""
                said.append(f"{part} ({', '.join(files[:_SHOWN])}{more})")
        return ", ".join(said)

    def sentence(self) -> str:
        """Say what people have to know before they deploy."""
        return tr(
            "This change also needs the containers rebuilt: {described} (downtime). A deploy does "
            "not do it: `govma-console services up --sync` does, afterwards.",
            described=clean_line(self.described()),
        )


def due(settings: Settings, target: str, live: str) -> Due | None:
    """Compare a commit of the source with prod-env (without a commit there, with `live`); None when nothing differs.

    None as well where there is no prod-env, or nothing to compare with: then nothing is said.
    """
    directory = settings.services_compose_dir
    if directory is None or not directory.is_dir():
        return None
    try:
        base = _head(settings)
        with opened(settings.source_dir, settings) as source:
            return due_in(source, base, target, live, settings)
    except (GovmaError, OSError):
        # Not worth a deploy: `services` says what is wrong with prod-env.
        return None


def tell_due(context: Context, target: str) -> None:
    """Warn in the log of a deploy when its commit needs the containers rebuilt, too."""
    live = context.versions.pointer().version
    found = due(context.settings, target, commit_of(context, live) if live else "")
    if found is not None:
        context.reporter.warning(found.sentence())


def due_in(source: Repository, head: str, target: str, live: str, settings: Settings) -> Due | None:
    """Return what of the containers' sources differs between where prod-env is (`head`) and a commit of the source.

    When the source does not know where prod-env is, `live` stands for it. None when nothing differs, or can be told,
    or what is compared with is ahead of `target`.
    """
    base = head if source.has(head) else live
    if not source.has(base) or not source.has(target):
        return None
    if base == target or source.contains(base, target):
        return None
    # The builder's image is made anew by each deploy.
    builder = settings.builder_context.strip("/") + "/"
    files = [path for path in source.changed(base, target, *SOURCES) if not path.startswith(builder)]
    if not files:
        return None
    names: tuple[str, ...] = ()
    if ".env.sample" in files:
        before, after = (_names(source.content(commit, ".env.sample")) for commit in (base, target))
        names = tuple(name for name in after if name not in before)
    return Due(base, target, tuple(files), names)


def _names(text: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    return [line.partition("=")[0].strip() for line in lines if "=" in line and not line.startswith("#")]


def _head(settings: Settings) -> str:
    directory = settings.services_compose_dir
    try:
        if directory is None:
            return ""
        with opened(directory, settings) as project:
            return project.sha("HEAD")
    except GovmaError:
        return ""


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
    pass  # self import

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
        pass  # self import

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
    pass  # self import
    pass  # self import

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
