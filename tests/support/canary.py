"""A tree that nothing may reach: what is in it is compared, and its content is looked for where it must not be."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
import subprocess
from pathlib import Path

Mark = tuple[int, int, int, int, int, str]

_EXCHANGED = tuple(f": {os.strerror(number)}".encode() for number in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP))


class Canary:
    """Files and folders of root, of the web server and of the build's user, below `root`; each holds a secret.

    The times of regular files of uid `attacker` are not looked at: it can set those by itself, wherever it has a name
    for the file.
    """

    def __init__(self, root: Path, attacker: int | None = None) -> None:
        self.root = root
        self._attacker = attacker
        self.secret = f"canary-{secrets.token_hex(16)}"
        self.private = f"canary-of-root-{secrets.token_hex(16)}"
        root.mkdir(mode=0o755)
        for name, owner, mode in (("root", 0, 0o600), ("web", 33, 0o640), ("build", 1000, 0o644), ("open", 0, 0o666)):
            folder = root / f"{name}-folder"
            for path in (root / name, folder / "html/inner.css", folder / "user/config/inner.js", folder / ".env"):
                path.parent.mkdir(parents=True, exist_ok=True)
                # Nobody but root can read root's, or link to it.
                path.write_text(f"{self.private if name == 'root' else self.secret} {path.name}")
                path.chmod(mode)
                os.utime(path, (1_000_000_000, 1_000_000_000))
            (folder / "system").mkdir()
            for path in (root / name, folder, *folder.rglob("*")):
                os.chown(path, owner, owner)
        (root / "open-folder").chmod(0o777)
        self.plain.write_text("no secret, so that a second name of it can be told from a copy of one\n")
        self.plain.chmod(0o666)
        for path in (root, *(path for path in root.rglob("*") if path.is_dir())):
            os.utime(path, (1_000_000_000, 1_000_000_000))
        self._before = self._look()

    @property
    def file(self) -> Path:
        """Return a file of root's that nobody else may read."""
        return self.root / "root"

    @property
    def plain(self) -> Path:
        """Return a file of root's without a secret, which others may write, and so may make second names of."""
        return self.root / "plain"

    @property
    def folder(self) -> Path:
        """Return a folder of root's; files and folders in it have the names that a version has."""
        return self.root / "root-folder"

    def changes(self) -> list[str]:
        """Name what is not as it was: owner, group, mode, size, mtime, content, or there at all."""
        now = self._look()
        return sorted(path for path in now.keys() | self._before.keys() if now.get(path) != self._before.get(path))

    def found_in(self, *trees: Path, private: bool = False) -> list[str]:
        """Name the regular files of the trees that hold a secret, only root's if `private`; nothing is followed."""
        wanted = [self.private] if private else [self.private, self.secret]
        patterns = [part for each in wanted for part in ("-e", each)]
        # It gets to the bottom of any depth, and does not wait for pipes.
        line = ["grep", "-rlaFZ", "-D", "skip", *patterns, "--", *map(str, trees)]
        found = subprocess.run(line, capture_output=True, check=False, env={**os.environ, "LC_ALL": "C"})
        # Somebody may exchange names meanwhile: what is another thing by then is none of the files that were there.
        other = [line for line in found.stderr.splitlines() if not line.endswith(_EXCHANGED)]
        assert found.returncode in (0, 1) or not other, other
        return [os.fsdecode(path) for path in found.stdout.split(b"\0") if path]

    def _look(self) -> dict[str, Mark]:
        found = {}
        for at, _, names in os.walk(self.root):
            for path in (at, *(os.path.join(at, name) for name in names)):
                info = os.lstat(path)
                content, changed = "", info.st_mtime_ns
                if stat.S_ISREG(info.st_mode):
                    fd = os.open(path, os.O_RDONLY | os.O_NOATIME)
                    with open(fd, "rb") as file:
                        content = hashlib.sha256(file.read()).hexdigest()
                    if info.st_uid == self._attacker:
                        changed = 0
                found[path] = info.st_uid, info.st_gid, info.st_mode, info.st_size, changed, content
        return found
