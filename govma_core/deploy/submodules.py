"""The submodules of a commit: which there are, and their objects, fetched to where git itself would keep them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from govma_core.building.repository_copy import without_user
from govma_core.errors import SourceError
from govma_core.git import GitCommands, GitFailedError
from govma_core.reporting import Reporter
from govma_core.settings import Settings


@dataclass(frozen=True, slots=True)
class Repository:
    """The site's repository or a submodule's: its git directory, and the commit to lay out.

    `folder` is where its files lie, in the work dir as in the checkout; '' for the site's own. `url` is the address of
    a submodule.
    """

    git_dir: Path
    sha: str
    folder: str = ""
    url: str = ""


class Submodules:
    """Finds and fetches submodules. The work tree of the checkout is not touched."""

    def __init__(self, settings: Settings, reporter: Reporter, git: GitCommands) -> None:
        self._settings = settings
        self._reporter = reporter
        self._git = git

    def fetched(self, parent: Repository, commits: Mapping[str, str]) -> Iterator[Repository]:
        """Yield the submodules of a repository, given by path and commit, once their commits are there.

        One that no address is known of, or that the checkout's settings leave out, stays an empty directory, as in
        every clone. SourceError for one that cannot be fetched.
        """
        if not commits:
            return
        git = self._in(parent.git_dir)
        settings = _configuration(git)
        parent_url = parent.url or self._own_url(settings)
        modules: dict[str, str] = {}
        with suppress(GitFailedError):
            modules = _configuration(git, "--blob", f"{parent.sha}:.gitmodules")
        names = {value: key[len("submodule.") : -len(".path")] for key, value in modules.items() if _is_path(key)}
        for path, sha in commits.items():
            name, folder = names.get(path, ""), os.path.join(parent.folder, path)
            key = f"submodule.{name}.url"
            url = settings.get(key) or resolved(modules.get(key, ""), parent_url)
            if not name or name.startswith("/") or ".." in name.split("/") or not url:
                self._reporter.warning("{path} is a submodule without an address in .gitmodules: empty.", path=folder)
            elif settings.get(f"submodule.{name}.update") == "none":
                self._reporter.info("{path} is a submodule whose update is none in .git/config: empty.", path=folder)
            else:
                module = Repository(parent.git_dir / "modules" / name, sha, folder, url)
                self._fetch(module)
                yield module

    def _own_url(self, settings: Mapping[str, str]) -> str:
        url = settings.get(f"remote.{self._settings.remote}.url", "")
        is_folder = "://" not in url and not re.match(r"[^/]+:", url)
        return os.path.join(self._settings.source_dir, url) if is_folder else url

    def _in(self, git_dir: Path, **variables: str) -> GitCommands:
        return self._git.elsewhere(git_dir, {"GIT_DIR": str(git_dir), **variables}, own_identity=True)

    def _fetch(self, module: Repository) -> None:
        # As git does for submodules: their addresses come from the commit, and must lead to no repository of this
        # machine unless protocol.file.allow says so.
        git = self._in(module.git_dir, GIT_PROTOCOL_FROM_USER="0")
        if (module.git_dir / "HEAD").exists() and git.sha(module.sha):
            return
        shown = without_user(module.url)
        self._reporter.info("Fetching the submodule {path} from {url} …", path=module.folder, url=shown)
        waiting = self._reporter.cancellation.interruptible
        try:
            if not (module.git_dir / "HEAD").exists():
                self._git.run("init", "--quiet", "--bare", str(module.git_dir))
                git.run("config", "remote.origin.url", module.url)
            # `git submodule update` in the checkout, which may come later, gives it a work tree.
            git.run("config", "core.bare", "false")
            branches = "+refs/heads/*:refs/remotes/origin/*"
            git.run("fetch", "--quiet", "--force", "--tags", "--", module.url, branches, waiting=waiting)
            if not git.sha(module.sha):
                git.run("fetch", "--quiet", "--", module.url, module.sha, waiting=waiting)
        except GitFailedError as error:
            raise SourceError(
                "The submodule {path} is needed at {commit}, and cannot be fetched from {url}: {error}. Nothing was "
                "deployed. `git submodule update --init {path}` in {source_dir} shows the same.",
                path=module.folder,
                commit=module.sha[:9],
                url=shown,
                error=str(error).replace(module.url, shown).rstrip("."),
                source_dir=self._settings.source_dir,
            ) from None


def _configuration(git: GitCommands, *source: str) -> dict[str, str]:
    entries = git.entries("config", *source, "--null", "--list")
    return {key: value for key, _, value in (entry.partition("\n") for entry in entries)}


def _is_path(key: str) -> bool:
    return key.startswith("submodule.") and key.endswith(".path")


def resolved(url: str, parent: str) -> str:
    """Return the address of a submodule; `./…` and `../…` begin at its parent's."""
    if not url.startswith(("./", "../")):
        return url
    parent = parent.rstrip("/")
    separator = "/"
    while url.startswith(("./", "../")):
        step, _, url = url.partition("/")
        if step == "..":
            head, separator, _ = parent.rpartition("/")
            if not separator:
                head, separator, _ = parent.rpartition(":")
            parent = head
    return f"{parent}{separator}{url}"
