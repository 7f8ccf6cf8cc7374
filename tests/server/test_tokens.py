"""The file of tokens and that of the hook's secret: what is a token, and when neither file is trusted any more."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from govma_console.server.tokens import Tokens, read_secret
from govma_core.errors import ConfigurationError, UsageError
from tests.support.rights import as_root


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


@pytest.fixture(name="tokens")
def _tokens(path: Path) -> Tokens:
    return Tokens(path)


def line(name: str, token: str) -> str:
    return f"{name} sha256:{hashlib.sha256(token.encode()).hexdigest()}\n"


def test_a_token_is_known_by_its_whole_text_and_nothing_else_is(tokens: Tokens, path: Path) -> None:
    first, second = tokens.add("first"), tokens.add("second")
    assert (tokens.name_of(first), tokens.name_of(second)) == ("first", "second")
    digest = hashlib.sha256(first.encode()).hexdigest()
    for wrong in ("", first[:-1], first + "x", first.swapcase(), f"{first} ", digest, f"sha256:{digest}", "first"):
        assert tokens.name_of(wrong) == "", wrong
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o604, 0o602, 0o644])
def test_a_token_file_whose_mode_becomes_too_open_is_refused_from_then_on(
    tokens: Tokens, path: Path, mode: int
) -> None:
    token = tokens.add("ci")
    assert tokens.name_of(token) == "ci"
    path.chmod(mode)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=f"has mode {mode:04o}: others may read it"):
            tokens.name_of(token)
    path.chmod(0o600)
    assert tokens.name_of(token) == "ci"


@as_root
def test_a_token_file_that_gets_another_owner_is_refused_from_then_on(tokens: Tokens, path: Path) -> None:
    token = tokens.add("ci")
    assert tokens.name_of(token) == "ci"
    os.chown(path, 65534, -1)
    for reader in (tokens, Tokens(path)):
        with pytest.raises(ConfigurationError, match="belongs to uid 65534: chown it to root"):
            reader.name_of(token)
    os.chown(path, 0, -1)
    assert tokens.name_of(token) == "ci"


def test_a_changed_token_file_is_read_again_though_its_times_are_the_same(tokens: Tokens, path: Path) -> None:
    """Guards against a token that goes on: `cp -p` and `touch` give a file the time that it had."""
    path.write_text(line("old", "a"))
    path.chmod(0o600)
    assert tokens.name_of("a") == "old"
    status = path.stat()
    path.write_text(line("new", "b"))
    # The kernel's clock for files moves on every few milliseconds.
    while path.stat().st_ctime_ns == status.st_ctime_ns or path.stat().st_mtime_ns != status.st_mtime_ns:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (tokens.name_of("a"), tokens.name_of("b")) == ("", "new")


def test_a_removed_token_file_makes_its_tokens_invalid(tokens: Tokens, path: Path) -> None:
    token = tokens.add("ci")
    assert tokens.name_of(token) == "ci"
    aside = path.rename(path.with_name("aside"))
    assert (tokens.name_of(token), tokens.read()) == ("", {})
    aside.rename(path)
    assert tokens.name_of(token) == "ci"


def test_without_a_file_no_token_is_known_and_none_is_made() -> None:
    assert (Tokens(None).name_of(""), Tokens(None).name_of("x"), read_secret(None)) == ("", "", b"")
    with pytest.raises(ConfigurationError, match="token_file is empty"):
        Tokens(None).add("ci")


def test_comments_and_empty_lines_are_passed_over_and_all_else_is_named_by_its_number(
    tokens: Tokens, path: Path
) -> None:
    path.touch(0o600)
    path.write_text(f"# ours\n\n  \n  {line('ci', 'a')}")
    assert tokens.name_of("a") == "ci"
    digest = "0" * 64
    for wrong in (
        f"ci sha256:{digest}0",
        f"ci sha256:{digest[1:]}",
        f"ci sha256:{digest[1:]}A",
        f"ci sha1:{digest}",
        f"ci {digest}",
        f"-ci sha256:{digest}",
        f"c i sha256:{digest}",
        f"{'c' * 65} sha256:{digest}",
        "a secret that was written down as it is",
    ):
        path.write_text(f"{line('ci', 'a')}{wrong}\n")
        with pytest.raises(ConfigurationError, match=r"line 2, is not `NAME sha256:HASH`") as caught:
            tokens.name_of("a")
        assert "as it is" not in str(caught.value)


def test_an_invalid_or_repeated_name_makes_no_token(tokens: Tokens, path: Path) -> None:
    token = tokens.add("ci")
    before = path.read_text()
    for name in ("", "-ci", "c i", "c\ni", "cí", "c" * 65):
        with pytest.raises(UsageError, match="cannot name a token"):
            tokens.add(name)
    with pytest.raises(UsageError, match="There is a token 'ci'"):
        tokens.add("ci")
    assert (path.read_text(), tokens.name_of(token)) == (before, "ci")


def test_an_unreadable_token_file_is_an_error_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"token_file \(.*\) cannot be read: Is a directory"):
        Tokens(tmp_path).read()
    with pytest.raises(ConfigurationError, match=r"hook_secret_file \(.*\) cannot be read: Is a directory"):
        read_secret(tmp_path)


@as_root
def test_a_secret_that_another_user_owns_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "hook-secret"
    path.touch(0o600)
    path.write_bytes(b" a secret \n")
    assert read_secret(path) == b"a secret"
    os.chown(path, 65534, -1)
    with pytest.raises(ConfigurationError, match="belongs to uid 65534: chown it to root"):
        read_secret(path)
