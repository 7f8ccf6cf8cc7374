"""Whether a commit needs the containers rebuilt: what of their sources differs from prod-env. Said, never done."""

from __future__ import annotations

from dataclasses import dataclass

from govma_core.errors import GovmaError
from govma_core.language import tr
from govma_core.operations.context import Context, commit_of
from govma_core.operations.prod_env import SOURCES, Repository, opened
from govma_core.settings import Settings
from govma_core.text import clean_line

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
