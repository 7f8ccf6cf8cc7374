"""What is done to a sample site after it was made: commits, opening it, removing it, and what is refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from govma_console.demo import open_sample, remove_sample
from govma_console.demo.create import git
from govma_console.demo.history import AUTHORS
from govma_core.errors import RefusedError, SourceError
from tests.support.sample import SampleSite, create_sample, files_below

COMPILED = "data/system/user/templates/portal/css.group/site.css"


def test_commit_writes_removes_and_pushes(own: SampleSite) -> None:
    changes = {"data/html/novo/página nova.txt": "olá\n", "data/html/foto.bin": b"\x00\xff", "webpack.mix.js": None}
    sha = own.commit(changes, "Troca arquivos")
    assert git("rev-parse", "main", cwd=own.remote).strip() == sha
    git("pull", "--quiet", "origin", "main", cwd=own.source_dir)
    assert (own.source_dir / "data/html/novo/página nova.txt").read_text() == "olá\n"
    assert (own.source_dir / "data/html/foto.bin").read_bytes() == b"\x00\xff"
    assert not (own.source_dir / "webpack.mix.js").exists()
    assert git("status", "--porcelain", cwd=own.developer) == ""


def test_commit_without_push_stays_in_the_clone_and_ignored_files_are_taken(own: SampleSite) -> None:
    before = git("rev-parse", "main", cwd=own.remote)
    sha = own.commit({COMPILED: "x"}, "Só aqui", push=False)
    assert git("rev-parse", "main", cwd=own.remote) == before
    assert git("show", f"{sha}:{COMPILED}", cwd=own.developer) == "x"
    assert own.commit({}, "Vazio") == git("rev-parse", "main", cwd=own.remote).strip()


@pytest.mark.parametrize("path", ["../outside", "/etc/sample", ".git/config", "", "data/../../outside"])
def test_commit_refuses_paths_outside_the_tree(own: SampleSite, path: str) -> None:
    head = git("rev-parse", "HEAD", cwd=own.developer)
    with pytest.raises(ValueError, match="not a path"):
        own.commit({"fine.txt": "x", path: "x"}, "Foge")
    assert git("rev-parse", "HEAD", cwd=own.developer) == head
    assert not (own.developer / "fine.txt").exists()


def test_settings_of_the_user_do_not_reach_the_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        "[commit]\n\tgpgsign = true\n[user]\n\tname = Outra Pessoa\n[core]\n\tbare = true\n"
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "no-such.git"))
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Outra Pessoa")
    site = create_sample(tmp_path / "site", legacy_version=False)
    site.commit({"x.txt": "x"}, "Novo")
    assert git("log", "-1", "--format=%an", cwd=site.remote).strip() == AUTHORS[0].partition(" <")[0]


def test_open_gives_what_create_gave(site: SampleSite) -> None:
    assert open_sample(site.root).config_file == site.config_file


def test_open_refuses_other_folders_and_half_a_sample(own: SampleSite, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="does not hold a sample"):
        open_sample(tmp_path)
    with pytest.raises(RefusedError, match="does not hold a sample"):
        open_sample(tmp_path / "absent")
    own.config_file.unlink()
    with pytest.raises(RefusedError, match="not finished"):
        open_sample(own.root)


def test_create_refuses_a_folder_with_something_in_it(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(RefusedError, match="not an empty folder"):
        create_sample(tmp_path)
    with pytest.raises(RefusedError, match="not an empty folder"):
        create_sample(tmp_path / "note.txt")
    assert os.listdir(tmp_path) == ["note.txt"]


def test_remove_takes_the_whole_sample_and_nothing_beside_it(own: SampleSite, tmp_path: Path) -> None:
    (tmp_path / "beside").write_text("stays")
    (own.root / "link").symlink_to(tmp_path / "beside")
    remove_sample(own.root)
    assert os.listdir(tmp_path) == ["beside"]


def _plain(own: SampleSite, tmp_path: Path) -> Path:
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain/file").write_text("mine")
    return tmp_path / "plain"


def _copied(own: SampleSite, tmp_path: Path) -> Path:
    return shutil.copytree(own.root, tmp_path / "copied", symlinks=True)


def _linked(own: SampleSite, tmp_path: Path) -> Path:
    (tmp_path / "linked").symlink_to(own.root)
    return tmp_path / "linked"


def _borrowed_marker(own: SampleSite, tmp_path: Path) -> Path:
    folder = _plain(own, tmp_path)
    (folder / ".govma-sample.json").symlink_to(own.root / ".govma-sample.json")
    return folder


def _foreign_marker(own: SampleSite, tmp_path: Path) -> Path:
    folder = _plain(own, tmp_path)
    (folder / ".govma-sample.json").write_text("{}")
    return folder


@pytest.mark.parametrize("make", [_plain, _copied, _linked, _borrowed_marker, _foreign_marker])
def test_remove_refuses_what_create_did_not_make(
    own: SampleSite, tmp_path: Path, make: Callable[[SampleSite, Path], Path]
) -> None:
    folder = make(own, tmp_path)
    before = files_below(folder)
    with pytest.raises(RefusedError, match="nothing was"):
        remove_sample(folder)
    assert files_below(folder) == before
    assert open_sample(own.root).root == own.root


def test_a_failed_creation_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match="no git on this machine"):
        create_sample(tmp_path / "site")
    assert os.listdir(tmp_path) == []
