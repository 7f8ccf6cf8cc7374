"""What a step made is found, and put into another tree, as it is: content, modes, links, folders, what it removed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from govma_core.building import outputs, tree_snapshot
from govma_core.building.outputs import Outputs, clashes, find_outputs, opener
from govma_core.errors import BuildError, UnsafeTreeError
from govma_core.fs import safefs
from tests.support.rights import as_root


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree as a step finds it."""
    tree = tmp_path / "docs"
    for folder in ("data/html/old", "node_modules", ".git"):
        (tree / folder).mkdir(parents=True)
    (tree / "data/html/old.css").write_text("old")
    (tree / "data/html/gone.js").write_text("gone")
    (tree / "data/html/old/page.html").write_text("page")
    (tree / "data/html/becomes a folder").symlink_to("elsewhere")
    (tree / "data/html/becomes a file").mkdir()
    return tree


def build(tree: Path) -> Outputs:
    with safefs.opened_root(tree) as fd:
        before = tree_snapshot.take(fd)
        html = tree / "data/html"
        (html / "old.css").write_text("compiled")
        (html / "gone.js").unlink()
        shutil.rmtree(html / "old")
        (html / "docs/deep").mkdir(parents=True)
        (html / "docs/empty").mkdir()
        (html / "docs/empty").chmod(0o775)
        (html / "docs/deep/index.html").write_text("docs")
        (html / "docs/tool.sh").write_text("compiled")
        (html / "docs/tool.sh").chmod(0o755)
        (html / "docs/latest").symlink_to("deep/index.html")
        os.link(html / "docs/tool.sh", html / "docs/second name")
        (html / "becomes a folder").unlink()
        (html / "becomes a folder").mkdir()
        (html / "becomes a folder/new").write_text("new")
        (html / "becomes a file").rmdir()
        (html / "becomes a file").write_text("new")
        (tree / "notes").write_text("beside the site")
        (tree / "node_modules/package").write_text("x")
        (tree / ".git/index").write_text("x")
        return find_outputs(before, fd, None)


def content(tree: Path) -> dict[str, object]:
    return {
        str(path.relative_to(tree)): os.readlink(path)
        if path.is_symlink()
        else (path.is_file() and path.read_text(), path.stat().st_mode)
        for path in tree.rglob("*")
    }


def test_put_into_another_tree_they_are_as_the_step_left_them(tree: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(tree, other, symlinks=True)
    made = build(tree)
    assert Outputs.from_plain(made.to_plain()) == made
    with safefs.opened_root(other) as fd, safefs.opened_root(tmp_path) as trees:
        made.below("data").put(fd, opener(trees, "docs", None), None)
    assert content(other / "data") == content(tree / "data")
    assert not (other / "notes").exists()
    assert made.files.keys() - made.below("data").files.keys() == {"notes"}
    assert (other / "data/html/docs/second name").stat().st_nlink == 1


def test_a_link_put_in_place_of_a_folder_is_not_written_through(tree: Path, tmp_path: Path) -> None:
    made = build(tree)
    outside, fresh = tmp_path / "outside", tmp_path / "fresh"
    outside.mkdir()
    (fresh / "data").mkdir(parents=True)
    (fresh / "data/html").symlink_to(outside)
    with (
        safefs.opened_root(fresh) as fd,
        safefs.opened_root(tmp_path) as trees,
        pytest.raises(UnsafeTreeError, match="link or a file where a directory must be"),
    ):
        made.put(fd, opener(trees, "docs", None), None)
    assert os.listdir(outside) == []


@as_root
@pytest.mark.root
@pytest.mark.parametrize("when", ["before it is found", "before it is opened"])
def test_a_file_of_another_user_is_not_taken(tree: Path, tmp_path: Path, when: str) -> None:
    os.chown(tree / "data/html/old.css", 1000, 1000)
    with safefs.opened_root(tree) as fd, safefs.opened_root(tmp_path) as trees:
        before = tree_snapshot.take(fd)
        (tree / "data/html/new.css").write_text("a secret of root's")
        if when == "before it is found":
            with pytest.raises(BuildError, match=r"new\.css"):
                find_outputs(before, fd, 1000)
        else:
            os.chown(tree / "data/html/new.css", 1000, 1000)
            find_outputs(before, fd, 1000)
            os.chown(tree / "data/html/new.css", 0, 0)
            with pytest.raises(BuildError, match=r"new\.css"):
                opener(trees, "docs", 1000)("data/html/new.css")


def test_two_steps_clash_where_they_made_something_different() -> None:
    one = Outputs({"a": ("1", 0o644), "same": ("2", 0o644), "mode": ("3", 0o644)}, {"link": "x"}, {}, ("gone", "both"))
    other = Outputs(
        {"a": ("9", 0o644), "same": ("2", 0o644), "mode": ("3", 0o755), "gone": ("4", 0o644)}, {"link": "y"}
    )
    assert clashes(one, other) == ["a", "gone", "link", "mode"]
    assert clashes(one, one) == []
    assert clashes(one, Outputs({"elsewhere": ("1", 0o644)}, {}, {}, ("both",))) == []
    file = Outputs({"folder/file": ("1", 0o644)}, {}, {"folder": 0o755})
    for above in (Outputs({}, {}, {}, ("folder",)), Outputs({}, {"folder": "x"}), Outputs({"folder": ("2", 0o644)})):
        assert clashes(file, above) == clashes(above, file) == ["folder/file"]
    assert outputs.clashes(Outputs({}, {}, {"folder": 0o755}), Outputs({}, {}, {"folder": 0o700})) == []
