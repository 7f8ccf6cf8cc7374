"""Copies the uploads of the repository to the persistent directory; what is there already belongs to people.

Both sides are writable by others, the target even while we work. Nothing is followed below the two directories, a new
file gets its name in one step that never replaces another, and what cannot be done safely is left alone and named.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from govma_core.context import Context
from govma_core.deploy import upload_files
from govma_core.errors import UnsafeTreeError
from govma_core.fs import safefs, trees
from govma_core.reporting import Reporter
from govma_core.text.language import tr

FOLDER = "data/html"
"""The folder of a commit in which its uploads are."""

DEEPEST = 100
"""Levels of directories that uploads may have."""

_AT_ONCE = 256
"""New files of a directory that are put on the disk at once, before they have their names."""

_CHANGED = tr("was changed by somebody else at the same moment")
_BEING_WRITTEN = tr("is being written by somebody else")


@dataclass(slots=True)
class UploadsResult:
    """What a synchronisation did: files and folders created, entries left as people have them, files replaced."""

    new_files: int = 0
    new_dirs: int = 0
    left_alone: int = 0
    replaced: int = 0


def move_out(context: Context, html_fd: int, before: Collection[str]) -> None:
    """Move what the commit brings as uploads to the persistent directories, and put links in their place.

    `before` are the paths that the live version's commit has in FOLDER.
    """
    settings = context.settings
    for name, target in (("uploads", settings.upload_dir), ("images", settings.image_dir)):
        if target is None or (name == "images" and not target.exists()):
            context.reporter.info(
                "image_dir ({target}) is not there; {name} stays in the version.",
                target=target or tr("unset"),
                name=name,
            )
            continue
        synchronise(
            html_fd,
            name,
            target,
            policy=settings.uploads_policy,
            kept_dir=settings.state_dir / "replaced" / context.run_id / name,
            owner=context.web_owner,
            reporter=context.reporter,
            before={path.removeprefix(f"{name}/") for path in before if path.startswith(f"{name}/")},
        )
        replace_by_link(html_fd, name, f"../../../{name}", context.web_owner)


def synchronise(
    tree_fd: int,
    name: str,
    target: Path,
    *,
    policy: str,
    kept_dir: Path,
    owner: tuple[int, int] | None,
    reporter: Reporter,
    before: Collection[str] = (),
) -> UploadsResult:
    """Copy what is new in `<tree>/<name>` into the directory `target`, owned by `owner` (None: by us).

    A file that is there with other content stays and is named in the log (policy "keep"), or is replaced ("overwrite")
    once it is kept at the same path below kept_dir, a directory that is made when it is needed. Links and special
    files are never followed, copied or replaced. A new file that is one of `before`, the paths that were copied with
    an earlier version, was deleted by a person meanwhile: it is named in the log. UnsafeTreeError when folders are
    nested deeper than DEEPEST.
    """
    info = safefs.lstat(tree_fd, name)
    if info is None:
        return UploadsResult()
    if not stat.S_ISDIR(info.st_mode):
        reporter.warning(
            "{name} in the version is {kind}, not a directory; nothing is taken from it.",
            name=name,
            kind=_kind(info),
        )
        return UploadsResult()
    keeper = upload_files.Keeper(kept_dir) if policy == "overwrite" else None
    with safefs.opened(tree_fd, name) as source_fd, safefs.opened_root(target) as target_fd:
        work = _Synchronisation(target, keeper, owner, reporter, before)
        work.directory(source_fd, target_fd, ())
        result = work.result
        if result.new_files or result.new_dirs or result.replaced:
            safefs.syncfs(target_fd)
    if keeper is not None and result.replaced:
        reporter.info("What was replaced in {target} is kept in {kept_dir}.", target=target, kept_dir=kept_dir)
    return result


def replace_by_link(tree_fd: int, name: str, link_target: str, owner: tuple[int, int] | None) -> None:
    """Remove `<tree>/<name>`, whatever it is, and put the link `name -> link_target` there, owned by `owner`."""
    trees.remove(tree_fd, name)
    safefs.replace_symlink(tree_fd, name, link_target, owner, durable=False)


class _Synchronisation:
    """One run over the two trees, directory by directory; entries are taken one at a time, never listed."""

    def __init__(
        self,
        target: Path,
        keeper: upload_files.Keeper | None,
        owner: tuple[int, int] | None,
        reporter: Reporter,
        before: Collection[str],
    ) -> None:
        self._target = target
        self._keeper = keeper
        self._owner = owner
        self._reporter = reporter
        self._before = before
        self.result = UploadsResult()

    def directory(self, src: int, dst: int, path: tuple[str, ...]) -> None:
        if len(path) > DEEPEST:
            folder = "/".join(path)[:200]
            raise UnsafeTreeError(
                "Uploads in {shown!r}… are more than {deepest} levels deep. Remove them.",
                shown=folder,
                deepest=DEEPEST,
            )
        upload_files.remove_leftovers(dst)
        new_files: list[str] = []
        with os.scandir(src) as entries:
            for entry in entries:
                self._reporter.cancellation.check()
                if self._must_be_placed(entry, src, dst, (*path, entry.name)):
                    new_files.append(entry.name)
                if len(new_files) == _AT_ONCE:
                    self._place(src, dst, path, new_files)
                    new_files.clear()
        if new_files:
            self._place(src, dst, path, new_files)

    def _must_be_placed(self, entry: os.DirEntry[str], src: int, dst: int, path: tuple[str, ...]) -> bool:
        """Deal with an entry, unless it is a file whose name is free in the target."""
        if entry.is_dir(follow_symlinks=False):
            self._folder(src, dst, path)
        elif entry.is_file(follow_symlinks=False):
            return not self._existing(src, dst, path, entry.stat(follow_symlinks=False))
        else:
            kind = tr("a link") if entry.is_symlink() else tr("a special file")
            self._reporter.warning(
                "Uploads: {inner!r} of the version is {kind}; it is left out.", inner="/".join(path), kind=kind
            )
        return False

    def _folder(self, src: int, dst: int, path: tuple[str, ...]) -> None:
        name, is_new = path[-1], True
        with safefs.opened(src, name) as inner_src:
            info = os.fstat(inner_src)
            try:
                try:
                    inner_dst = upload_files.make_folder(dst, name, info, self._owner)
                except FileExistsError:
                    inner_dst, is_new = os.open(name, safefs.DIRECTORY_FLAGS, dir_fd=dst), False
            except (UnsafeTreeError, FileNotFoundError):
                self._leave_alone(path, _CHANGED)
                return
            except OSError as error:
                if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                    raise
                self._leave_alone(path, tr("is no directory, but one in the repository"))
                return
            try:
                self.directory(inner_src, inner_dst, path)
                if is_new:
                    self.result.new_dirs += 1
                    os.utime(inner_dst, ns=(info.st_atime_ns, info.st_mtime_ns))
            finally:
                os.close(inner_dst)

    def _place(self, src: int, dst: int, path: tuple[str, ...], names: Sequence[str]) -> None:
        remaining = upload_files.place_new(src, dst, names, self._owner)
        self.result.new_files += len(names) - len(remaining)
        for name in names:
            inner = (*path, name)
            if name not in remaining:
                self._tell_of_deleted("/".join(inner))
                continue
            info = safefs.lstat(src, name)
            if info is None or not stat.S_ISREG(info.st_mode) or not self._existing(src, dst, inner, info):
                self._leave_alone(inner, _CHANGED)

    def _tell_of_deleted(self, path: str) -> None:
        if path in self._before:
            self._reporter.warning(
                "Uploads: {path!r} was deleted from {target}, and comes back with the repository. Delete it there.",
                path=path,
                target=self._target,
            )

    def _existing(self, src: int, dst: int, path: tuple[str, ...], info: os.stat_result) -> bool:
        """Deal with a file whose name is in the target already; False when the name is free."""
        name = path[-1]
        there = safefs.lstat(dst, name)
        if there is None:
            return False
        if not stat.S_ISREG(there.st_mode):
            self._leave_alone(path, tr("is {kind}, but a file in the repository", kind=_kind(there)))
            return True
        try:
            is_untouched = (info.st_size, info.st_mtime_ns) == (there.st_size, there.st_mtime_ns)
            if not is_untouched and not upload_files.same_content(src, dst, name):
                self._differing(src, dst, path)
        except BlockingIOError:
            self._leave_alone(path, _BEING_WRITTEN)
        return True

    def _differing(self, src: int, dst: int, path: tuple[str, ...]) -> None:
        if self._keeper is None:
            self._leave_alone(path, tr("has other content than in the repository"))
            return
        try:
            upload_files.place_over(src, dst, path, self._owner, self._keeper)
        except (UnsafeTreeError, FileNotFoundError):
            self._leave_alone(path, _CHANGED)
            return
        self.result.replaced += 1
        self._reporter.info(
            "Uploads: {path!r} in {target} was replaced by the repository's.",
            path="/".join(path),
            target=self._target,
        )

    def _leave_alone(self, path: tuple[str, ...], why: str) -> None:
        self.result.left_alone += 1
        self._reporter.warning(
            "Uploads: {path!r} in {target} {why}; it stays as it is.",
            path="/".join(path),
            target=self._target,
            why=why,
        )


def _kind(info: os.stat_result) -> str:
    if stat.S_ISLNK(info.st_mode):
        return tr("a link")
    if stat.S_ISDIR(info.st_mode):
        return tr("a directory")
    return tr("a file") if stat.S_ISREG(info.st_mode) else tr("a special file")
