"""Lays a commit out in the work dir: from git's object store, never from the checkout's work tree.

What a work tree can hide comes into no version: edits behind `git update-index --assume-unchanged`, a sparse checkout,
modes under core.fileMode=false, files that git ignores. Names, modes and content are the commit's, with the line ends
and filters that its attributes ask for; submodules are filled at the commits that it records.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Sequence
from contextlib import closing, suppress
from itertools import groupby
from pathlib import Path

from govma_core.building import repository_copy
from govma_core.deploy.submodules import Repository, Submodules
from govma_core.errors import SourceError
from govma_core.fs import safefs
from govma_core.fs.walk import Directories
from govma_core.git import GitCommands, GitFailedError
from govma_core.reporting import Reporter
from govma_core.settings import Settings
from govma_core.text.language import tr

_MOST_NAMED = 20
_LEAST_ROOM = 1 << 20
"""Bytes below which a file system passes for full."""
_POINTER = b"version https://git-lfs"

# Settings of a checkout under which files would be left out, or links written as files.
_PLAIN = {"core.sparseCheckout": "false", "core.symlinks": "true", "core.splitIndex": "false"}
_LFS = {
    "filter.lfs.smudge": "git-lfs smudge -- %f",
    "filter.lfs.process": "git-lfs filter-process",
    "filter.lfs.required": "true",
}
_NO_LFS = dict.fromkeys(("filter.lfs.smudge", "filter.lfs.process"), "") | {"filter.lfs.required": "false"}


class CommitFiles:
    """The files of one commit in the work dir, which is ours alone until the build; entries belong to `owner`."""

    def __init__(
        self, settings: Settings, reporter: Reporter, git: GitCommands, work_fd: int, owner: tuple[int, int] | None
    ) -> None:
        self._settings = settings
        self._reporter = reporter
        self._git = git
        self._work_fd = work_fd
        self._owner = owner
        self._repositories: dict[Repository, str] = {}
        self.count = 0

    def fill(self, sha: str, folder: str = "") -> None:
        """Lay the commit out, with a copy of the repository for the build that has no credentials; or `folder` alone.

        SourceError for a submodule that cannot be fetched, for content that git-lfs would have to bring, and for what
        git itself cannot lay out.
        """
        os.mkdir(".git", 0o700, dir_fd=self._work_fd)
        submodules = Submodules(self._settings, self._reporter, self._git)
        pending = [Repository(Path(self._git.repo.git_dir), sha)]
        with safefs.opened_root(self._settings.source_dir) as source_fd:
            while pending:
                repository = pending.pop()
                index = f".git/{safefs.random_name('index')}"
                self._repositories[repository] = index
                try:
                    paths, modules = self._lay_out(repository, index, "" if repository.folder else folder)
                except GitFailedError:
                    self._require_room()
                    raise
                self._finish(repository, paths, source_fd)
                pending += submodules.fetched(repository, modules)
        if folder:
            return
        self._name_ignored()
        common = Path(self._git.repo.common_dir)
        repository_copy.copy_repository(self._work_fd, common, self._owner, self._reporter.cancellation.check)
        for repository, index in self._repositories.items():
            self._connect(repository, common, index)

    def _commands(self, repository: Repository, index: str, settings: dict[str, str] | None = None) -> GitCommands:
        """Return git's commands on the object store of the repository, its folder in the work dir and an own index."""
        tree = self._settings.work_dir / repository.folder
        variables = {
            "GIT_DIR": str(repository.git_dir),
            "GIT_WORK_TREE": str(tree),
            "GIT_INDEX_FILE": str(self._settings.work_dir / index),
            "GIT_NO_REPLACE_OBJECTS": "1",
        }
        return self._git.elsewhere(tree, variables, settings)

    def _lay_out(self, repository: Repository, index: str, folder: str) -> tuple[list[str], dict[str, str]]:
        """Write the files of the repository's commit (below `folder`, '' for all).

        Return their paths, and the commits of the submodules by path.
        """
        git = self._commands(repository, index, _PLAIN)
        # All of it for a folder, too: what lies above it has its attributes.
        git.run("read-tree", repository.sha)
        below = [f":(literal){folder}"] if folder else []
        entries = [entry.partition("\t") for entry in git.entries("ls-files", "--stage", "-z", "--", *below)]
        paths = [path for _, _, path in entries]
        large: list[str] = []
        if folder or any(path.endswith(".gitattributes") for path in paths):
            large = git.entries("ls-files", "-z", "--", f":(attr:filter=lfs,literal){folder}")
        if large:
            git = self._commands(repository, index, _PLAIN | (_LFS if shutil.which("git-lfs") else _NO_LFS))
        files = ["--", *paths] if folder else ["--all"]
        git.run("checkout-index", "--force", "--quiet", *files, waiting=self._reporter.cancellation.interruptible)
        self._refuse_pointers([os.path.join(repository.folder, path) for path in large])
        modules = {path: about.split(" ")[1] for about, _, path in entries if about.startswith("160000 ")}
        self.count += len(paths) - len(modules)
        return paths, modules

    def _require_room(self) -> None:
        """Raise OSError where the work dir is full: git names the files that it could not write, and not the reason."""
        room = os.statvfs(self._settings.work_dir)
        if room.f_bavail * room.f_frsize < _LEAST_ROOM or (room.f_files and not room.f_favail):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from None

    def _refuse_pointers(self, paths: Sequence[str]) -> None:
        """Raise SourceError for files that stand for content in git-lfs, and were not replaced by it."""
        pointers = []
        for path in paths:
            whole = self._settings.work_dir / path
            if whole.is_file() and not whole.is_symlink():
                with whole.open("rb") as file:
                    if file.read(len(_POINTER)) == _POINTER:
                        pointers.append(path)
        if pointers:
            raise SourceError(
                "Files whose content git-lfs has to bring, and did not: {named}. Install git-lfs on this machine "
                "(apt-get install git-lfs), and deploy again.",
                named=", ".join(pointers[:_MOST_NAMED]),
            )

    def _finish(self, repository: Repository, paths: Sequence[str], source_fd: int) -> None:
        """Give what was laid out to its owner, and the files that have not changed the mtime of those in the checkout.

        Browsers, proxies and the caches of builds go by it: it must not change with every deploy. What is new or has
        changed has the present time, and so is later than what was served under its name before.
        """
        changed = self._changed_in_checkout(repository)
        folders: set[str] = set()
        with closing(Directories([self._work_fd])) as work, closing(Directories([source_fd])) as checkout:
            for inner, inside in groupby(paths, os.path.dirname):
                folder = os.path.join(repository.folder, inner).rstrip("/")
                if self._owner is not None:
                    _give_folders(work, folder, self._owner, folders)
                target = work.fd(0, folder)
                source: int | None = None
                with suppress(OSError):
                    source = checkout.fd(0, folder)
                for path in inside:
                    name = os.path.basename(path)
                    if self._owner is not None:
                        os.chown(name, *self._owner, dir_fd=target, follow_symlinks=False)
                    if source is not None and path not in changed:
                        _copy_time(name, source, target)

    def _changed_in_checkout(self, repository: Repository) -> frozenset[str]:
        """Return the paths whose content in the commit is not that which the checkout's index has."""
        git = self._git.elsewhere(repository.git_dir, {"GIT_DIR": str(repository.git_dir)})
        names = git.entries("diff-index", "--cached", "--name-only", "--no-renames", "-z", repository.sha)
        return frozenset(names)

    def _name_ignored(self) -> None:
        """Name what lies in the checkout and is ignored by git: deploy.sh published it, and builds could read it."""
        ignored = self._git.entries("ls-files", "--others", "--ignored", "--exclude-standard", "--directory", "-z")
        names = [path for path in ignored if path != "node_modules/"]
        if names:
            self._reporter.info(
                "Ignored by git in the checkout, and not in the version: {named}.",
                named=", ".join(names[:_MOST_NAMED]) + (", …" if len(names) > _MOST_NAMED else ""),
            )

    def _connect(self, repository: Repository, common: Path, index: str) -> None:
        """Have the copied repository say what is laid out: its index, and its HEAD."""
        copy = Path(".git")
        head = repository.sha
        if repository.folder:
            copy /= repository.git_dir.relative_to(common)
            self._link_to(copy, repository.folder)
        elif self._git.sha("HEAD") == head:
            head = (repository.git_dir / "HEAD").read_text().strip()
        with safefs.opened(self._work_fd, *copy.parts) as fd:
            os.rename(index, "index", src_dir_fd=self._work_fd, dst_dir_fd=fd)
            if self._owner is not None:
                os.chown("index", *self._owner, dir_fd=fd, follow_symlinks=False)
            repository_copy.replace_file(fd, "HEAD", f"{head}\n", self._owner)

    def _link_to(self, git_dir: Path, folder: str) -> None:
        """Have git find the repository of a submodule from its files, unless they are to be published."""
        if folder.startswith("data/"):
            return
        with safefs.opened(self._work_fd, *Path(folder).parts) as fd:
            repository_copy.replace_file(fd, ".git", f"gitdir: {os.path.relpath(git_dir, folder)}\n", self._owner)


def _give_folders(directories: Directories, folder: str, owner: tuple[int, int], folders: set[str]) -> None:
    """Give a directory and those above it to their owner; `folders` are those that were given before."""
    while folder and folder not in folders:
        folders.add(folder)
        os.fchown(directories.fd(0, folder), *owner)
        folder = os.path.dirname(folder)


def _copy_time(name: str, source_fd: int, target_fd: int) -> None:
    """Give a file the mtime of the file of the same name in another directory, if there is one."""
    with suppress(OSError):
        info = os.stat(name, dir_fd=source_fd, follow_symlinks=False)
        if stat.S_ISREG(info.st_mode):
            times = (info.st_mtime_ns, info.st_mtime_ns)
            os.utime(name, ns=times, dir_fd=target_fd, follow_symlinks=False)


def no_inputs(globs: Sequence[str]) -> str:
    """Return the sentence for globs of asset_inputs that no file fits."""
    return tr("asset_inputs: no file of the repository fits {globs}. Correct the setting.", globs=", ".join(globs))
