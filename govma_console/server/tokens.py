"""The tokens of callers who may change everything: a file with a name and a hash a line, readable by its owner only."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import stat
from pathlib import Path

from govma_core.errors import ConfigurationError, UsageError
from govma_core.fs import jsonfile

_LINE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._@-]{0,63}) sha256:([0-9a-f]{64})")


class Tokens:
    """The tokens of one file, read again whenever it changed: taking a line out takes the token back."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._identity: tuple[int, int, int] | None = None
        self._hashes: dict[str, str] = {}

    def name_of(self, token: str) -> str:
        """Return the name of a token, '' for one that is not in the file; ConfigurationError as read() raises it."""
        digest = _hash(token)
        # All of them are compared, whichever matches: the time that it takes tells nothing.
        matches = [name for name, each in self.read().items() if hmac.compare_digest(each, digest)]
        return matches[-1] if matches else ""

    def read(self) -> dict[str, str]:
        """Return the hashes by name; ConfigurationError when others may read the file, or a line is no token."""
        if self._path is None:
            return {}
        try:
            with self._path.open("rb") as file:
                status = os.fstat(file.fileno())
                check_private(self._path, status)
                identity = (status.st_ino, status.st_size, status.st_ctime_ns)
                if identity == self._identity:
                    return self._hashes
                text = file.read(1 << 20).decode("utf-8", "replace")
        except FileNotFoundError:
            self._identity, self._hashes = None, {}
            return {}
        except OSError as error:
            raise ConfigurationError(
                "token_file ({path}) cannot be read: {strerror}.", path=self._path, strerror=error.strerror
            ) from None
        hashes = {}
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            match = _LINE.fullmatch(line.strip())
            if match is None:
                raise ConfigurationError(
                    "token_file ({path}), line {number}, is not `NAME sha256:HASH`; `govma-console token "
                    "NAME` makes such a line.",
                    path=self._path,
                    number=number,
                )
            hashes[match[1]] = match[2]
        self._identity, self._hashes = identity, hashes
        return hashes

    def add(self, name: str) -> str:
        """Make a token and return it: only its hash is stored. UsageError for a name that cannot be used."""
        if self._path is None:
            raise ConfigurationError("token_file is empty: name the file that holds the tokens.")
        if not _LINE.fullmatch(f"{name} sha256:{'0' * 64}"):
            raise UsageError("{name!r} cannot name a token: take letters, digits and . _ @ -", name=name)
        token = secrets.token_urlsafe(32)
        with jsonfile.locked(self._path.parent):
            hashes = self.read()
            if name in hashes:
                raise UsageError(
                    "There is a token {name!r} in {path} already; take its line out to replace it.",
                    name=name,
                    path=self._path,
                )
            lines = [f"{each} sha256:{digest}" for each, digest in (hashes | {name: _hash(token)}).items()]
            jsonfile.replace_bytes(self._path, ("\n".join(lines) + "\n").encode(), mode=0o600)
        return token


def read_secret(path: Path | None) -> bytes:
    """Return the secret shared with the git server, b'' without one; ConfigurationError when others can read it."""
    if path is None:
        return b""
    try:
        with path.open("rb") as file:
            check_private(path, os.fstat(file.fileno()))
            return file.read(4096).strip()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise ConfigurationError(
            "hook_secret_file ({path}) cannot be read: {strerror}.", path=path, strerror=error.strerror
        ) from None


def check_private(path: Path, status: os.stat_result) -> None:
    """Raise ConfigurationError when others than the owner may read or write a file with secrets."""
    if status.st_uid not in (0, os.geteuid()):
        raise ConfigurationError("{path} belongs to uid {st_uid}: chown it to root.", path=path, st_uid=status.st_uid)
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise ConfigurationError(
            "{path} has mode {s_imode:04o}: others may read it. Change its secrets, then chmod 600 {path}.",
            path=path,
            s_imode=stat.S_IMODE(status.st_mode),
        )


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
