"""Sources of images that differ: between prod-env, the live and the pending commit, and what images were built from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from govma_core.context import Context, commit_of
from govma_core.errors import GovmaError, RefusedError, SourceError
from govma_core.fs import jsonfile, safefs
from govma_core.git import GitCommands, GitFailedError
from govma_core.reporting import Reporter
from govma_core.services.compose_config import ComposeConfig, ServiceConfig
from govma_core.services.drift import EVERY, NONE, SITE_DOWN, Difference, downtime_of
from govma_core.services.inspect import ProjectState
from govma_core.settings import Settings
from govma_core.text.clean import clean_line
from govma_core.text.language import tr
from govma_core.versions.manifest import ManifestStore
from govma_core.versions.store import VersionStore

SOURCES = ("docker", "docker-compose.yml", ".env.sample")
"""What containers are made from."""

BUILT = "services-built.json"
"""File of state_dir: for each image that `services up` built, by its id, the commit that prod-env was at."""

_SYNC = "govma-console services up --sync"
_MOST_NAMES = 3
"""Files of one part that are named; of more only how many there are."""


class Repository(GitCommands):
    """Git in a checkout of the site's repository; closed at the end of opened()."""

    def has(self, sha: str) -> bool:
        """Tell whether it has a commit."""
        return bool(sha) and self.sha(sha) != ""

    def covers(self, folder: str) -> bool:
        """Tell whether a folder, named from the top, is in it."""
        path = (self._directory / folder).resolve()
        return path.is_dir() and path.is_relative_to(self._directory.resolve())

    def changed(self, older: str, newer: str, *paths: str) -> list[str]:
        """Return the files below these paths that differ between two commits."""
        return self.entries("diff", "--name-only", "-z", older, newer, "--", *paths)

    def edited(self, *paths: str) -> list[str]:
        """Return the files below these paths that were changed here and not committed."""
        return self.entries("diff", "--name-only", "-z", "HEAD", "--", *paths)

    def forward(self, sha: str) -> None:
        """Move what is checked out straight ahead to a commit; RefusedError when local changes are in the way."""
        try:
            self.run("merge", "--ff-only", "--quiet", sha)
            with safefs.opened_root(self._directory) as fd:
                safefs.syncfs(fd)
        except GitFailedError as error:
            raise RefusedError(
                "{directory} cannot be moved forward to {sha}; nothing was changed. {error}",
                directory=self._directory,
                sha=sha[:9],
                error=error,
            ) from None


@contextmanager
def opened(directory: Path, settings: Settings) -> Iterator[Repository]:
    """Yield the checkout in a directory; SourceError when it is none."""
    if not (directory / ".git").exists():
        raise SourceError(
            "{directory} is no git checkout: what its containers were built from is not known.", directory=directory
        )
    repository = Repository(directory, settings.git_timeout)
    try:
        yield repository
    finally:
        # The helper processes of GitPython end with it.
        repository.repo.close()


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
        parts: dict[str, list[str]] = {}
        for path in self.files:
            pieces = path.split("/")
            part = pieces[1] if pieces[0] == "docker" and len(pieces) > 2 else path
            parts.setdefault(part, []).append(path)
        return parts

    def described(self) -> str:
        """Name the parts and their files."""
        descriptions = []
        for part, files in self.parts().items():
            if files == [part]:
                new = tr(" (new: {names})", names=", ".join(self.names)) if part == ".env.sample" and self.names else ""
                descriptions.append(f"{part}{new}")
            else:
                more = tr(", {count} more", count=len(files) - _MOST_NAMES) if len(files) > _MOST_NAMES else ""
                descriptions.append(f"{part} ({', '.join(files[:_MOST_NAMES])}{more})")
        return ", ".join(descriptions)

    def sentence(self) -> str:
        """Return the sentence for the operator before a deploy."""
        return tr(
            "This change also needs the containers rebuilt: {described} (downtime). A deploy does "
            "not do it: `govma-console services up --sync` does, afterwards.",
            described=clean_line(self.described()),
        )


def due(settings: Settings, target: str, live: str) -> Due | None:
    """Compare a commit of the source with prod-env (without a commit there, with `live`); None when nothing differs.

    None as well where there is no prod-env, or nothing to compare with.
    """
    directory = settings.services_compose_dir
    if directory is None or not directory.is_dir():
        return None
    head = ""
    try:
        with suppress(GovmaError), opened(directory, settings) as project:
            head = project.sha("HEAD")
        with opened(settings.source_dir, settings) as source:
            return due_in(source, head, target, live, settings)
    except (GovmaError, OSError):
        # Not worth a deploy: `services` says what is wrong with prod-env.
        return None


def tell_due(context: Context, target: str) -> None:
    """Warn in the log of a deploy when its commit needs the containers rebuilt, too."""
    live = context.versions.pointer().version
    difference = due(context.settings, target, commit_of(context, live) if live else "")
    if difference is not None:
        context.reporter.warning(difference.sentence())


def due_in(source: Repository, head: str, target: str, live: str, settings: Settings) -> Due | None:
    """Return what of the containers' sources differs between where prod-env is (`head`) and a commit of the source.

    When the source does not know where prod-env is, `live` stands for it. None when nothing differs, or can be told,
    or what is compared with is ahead of `target`.
    """
    base = head if source.has(head) else live
    if not source.has(base) or not source.has(target):
        return None
    if base == target or source.is_ancestor(target, base):
        return None
    # The builder's image is made anew by each deploy.
    builder = settings.builder_context.strip("/") + "/"
    files = [path for path in source.changed(base, target, *SOURCES) if not path.startswith(builder)]
    if not files:
        return None
    names: tuple[str, ...] = ()
    if ".env.sample" in files:
        before, after = (_variables(source, commit) for commit in (base, target))
        names = tuple(name for name in after if name not in before)
    return Due(base, target, tuple(files), names)


def _variables(source: Repository, commit: str) -> list[str]:
    """Return the variables that `.env.sample` of a commit names; none when it has no such file."""
    with suppress(GitFailedError):
        lines = map(str.strip, source.run("show", "--end-of-options", f"{commit}:.env.sample").splitlines())
        return [line.partition("=")[0].strip() for line in lines if "=" in line and not line.startswith("#")]
    return []


def source_differences(
    settings: Settings, answers: Callable[[], tuple[ComposeConfig | None, ProjectState]]
) -> list[Difference]:
    """Return what differs in the sources of images; SourceError when prod-env is no checkout.

    `answers` waits for what compose and the engine say; git is asked before as far as that is not needed.
    """
    directory = settings.services_compose_dir
    if directory is None:
        return []
    with opened(directory, settings) as project:
        head, edited = project.sha("HEAD"), project.edited(*SOURCES)
        pending = list(_due_commits(settings, head))
        config, state = answers()
        services = list(config.services.values()) if config else []
        rows = list(_not_built(settings, project, head, services, state))
    if edited:
        what = tr("changed in prod-env and not committed: {some}", some=_some(edited))
        rows.append(Difference(EVERY, "edited", what, tr("commit it in the repository, or take it back"), NONE))
    parts: set[str] = set()
    for word, difference in pending:
        for part, files in difference.parts().items():
            # What the live commit changed needs no second line for the pending one.
            if part not in parts:
                parts.add(part)
                rows.append(_difference(settings, services, word, part, files, difference))
    return rows


def _due_commits(settings: Settings, head: str) -> Iterator[tuple[str, Due]]:
    """Yield by its word what of the live and of the pending commit differs from where prod-env is."""
    # Without the checkout of the source there is nothing to compare with; deploys say what is wrong with it.
    with suppress(GovmaError, OSError), opened(settings.source_dir, settings) as source:
        live = live_commit(settings)
        pending = source.sha(f"refs/remotes/{settings.remote}/{settings.branch}")
        for word, commit in (("live", live), ("pending", pending)):
            if difference := due_in(source, head, commit, live, settings):
                yield word, difference


def live_commit(settings: Settings) -> str:
    """Return the commit of the version that is live, '' when it is not recorded."""
    name = VersionStore(settings.versions_dir).pointer().version
    manifest = ManifestStore(settings.state_dir).read(name) if name else None
    return manifest.commit if manifest else ""


def note_built(settings: Settings, images: Sequence[str], reporter: Reporter) -> None:
    """Write down from which commit of prod-env these images were built; a warning if that fails.

    The last hundred are kept. What was changed and not committed is in an image, and in no commit.
    """
    path, directory = settings.state_dir / BUILT, settings.services_compose_dir
    try:
        with opened(directory or Path(), settings) as repository:
            head = repository.sha("HEAD") if not repository.edited("docker") else ""
        built = {image: head for image in images if image and head}
        if built:
            others = {image: commit for image, commit in (jsonfile.read(path) or {}).items() if image not in built}
            jsonfile.replace(path, dict(list((others | built).items())[-100:]))
    except (GovmaError, OSError) as error:
        reporter.warning("From which commit the images were built could not be written down: {error}", error=error)


def _not_built(
    settings: Settings, project: Repository, head: str, services: Sequence[ServiceConfig], state: ProjectState
) -> Iterator[Difference]:
    """Find images that are older than their sources in prod-env."""
    built = jsonfile.read(settings.state_dir / BUILT) or {}
    for service in services:
        image = state.tagged(service.image)
        # Of folders that are not in prod-env, and of addresses, its git knows nothing.
        if service.context is None or not image or not project.covers(service.context):
            continue
        base, what = str(built.get(image, "")), ""
        if project.has(base):
            files = [] if base == head else project.changed(base, head, service.context)
            if files:
                what = tr("its image was built before {some} changed in prod-env", some=_some(files))
        elif details := state.images.get(image):
            committed = project.run("log", "-1", "--format=%ct", "--", service.context).strip()
            if float(committed or 0) > details.last_tagged:
                what = tr("{context} changed in prod-env after its image was made", context=service.context)
        if what:
            up = f"govma-console services up {service.name}"
            yield Difference(service.name, "sources", what, up, downtime_of(service, settings))


def _difference(
    settings: Settings, services: Sequence[ServiceConfig], word: str, part: str, files: list[str], difference: Due
) -> Difference:
    mine = next((each for each in services if each.context and files[0].startswith(f"{each.context}/")), None)
    names = f" ({', '.join(difference.names)})" if part == ".env.sample" and difference.names else ""
    what = tr(
        "{some}{names} in the {word} commit {commit} is not what prod-env ({base}) has",
        some=_some(files),
        names=names,
        word=word,
        commit=difference.target[:9],
        base=difference.base[:9],
    )
    down = downtime_of(mine, settings) if mine else SITE_DOWN
    # A deploy first: prod-env goes to what is deployed, not further.
    takes = _SYNC if word == "live" else tr("a deploy, then {sync}", sync=_SYNC)
    return Difference(mine.name if mine else EVERY, "sources", what, takes, down)


def _some(files: Sequence[str]) -> str:
    return files[0] if len(files) == 1 else tr("{files} and {count} more", files=files[0], count=len(files) - 1)
