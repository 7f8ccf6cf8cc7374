"""Which steps of a build a deploy runs, which it takes from the cache, and that the result is the same either way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from govma_core.building import step_tree, work_dir
from govma_core.errors import BuildError, ConfigurationError
from govma_core.versions.manifest import ManifestStore
from tests.support.rights import as_root
from tests.support.sites import Site
from tests.support.step_site import STYLES, built, commit_link, published, step, with_steps


@pytest.fixture
def site(site: Site) -> Site:
    return with_steps(site)


@pytest.mark.parametrize(
    ("files", "steps"),
    [
        ({"data/html/other.php": "<?php"}, []),
        ({"resources/css/a.css": "a{color:red}"}, ["styles"]),
        ({"resources/js/a.js": "b()"}, ["scripts"]),
        ({"tools/scripts.sh": "cat resources/js/a.js resources/js/a.js > data/html/site.js\n"}, ["scripts"]),
        ({"docs/one.md": "Two"}, ["docs"]),
        ({"package.json": "{}"}, ["install", "styles", "scripts", "docs"]),
    ],
)
def test_a_step_runs_when_what_it_read_has_changed(site: Site, files: dict[str, str], steps: list[str]) -> None:
    site.sample.commit(files, "Uma mudança")
    assert built(site) == steps
    mine = published(site)
    assert built(site, rebuild=True) == ["install", "styles", "scripts", "docs"]
    assert published(site) == mine


def test_a_step_that_comes_after_another_runs_again_only_when_it_read_something_else(site: Site) -> None:
    count = step("count", "wc -c < data/html/site.css > data/html/size.txt")
    site.flags["build_steps"] = [step("styles", STYLES), count]
    assert built(site) == ["count"]
    site.sample.commit({"resources/css/a.css": "a{x:y}"}, "Outra cor")
    assert built(site) == ["styles", "count"]
    assert (site.current / "html/size.txt").read_text().strip() == str(len("a{x:y}b{}"))
    site.sample.commit({"resources/css/a.css": "a{x:y}b{}", "resources/css/b.css": ""}, "O mesmo resultado")
    assert built(site) == ["styles"]


def test_what_is_made_outside_data_is_there_for_the_steps_after_it_and_not_published(site: Site) -> None:
    site.flags["build_steps"] = [
        step("first", "mkdir -p build; cat docs/one.md > build/one; echo 1 > data/html/first"),
        step("second", "cp build/one data/html/two.txt", after=["first"]),
        step("apart", "test ! -e build && echo apart > data/html/apart.txt", after=[]),
    ]
    for rebuild in (True, False):
        built(site, rebuild=rebuild)
        assert (site.current / "html/two.txt").read_text() == "One"
        assert (site.current / "html/apart.txt").read_text() == "apart\n"
    assert not (site.current / "build").exists()
    assert step_tree.left(site.settings.work_dir) == []


def test_two_steps_that_made_the_same_path_differently_are_both_named(site: Site) -> None:
    live = site.current
    site.flags["build_steps"] = [
        step("one", "echo 1 > data/html/made", after=[]),
        step("two", "echo 2 > data/html/made; echo same > data/html/same", after=[]),
    ]
    with pytest.raises(BuildError, match="one and two made 'data/html/made' each in its own way"):
        site.deploy()
    assert site.current == live
    site.flags["build_steps"][1]["command"] = "echo 1 > data/html/made; :"
    assert built(site) == ["two"]


@as_root
@pytest.mark.root
def test_what_a_hook_put_there_for_root_alone_is_not_the_steps_to_read(site: Site, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("root's")
    secret.chmod(0o600)
    hook = tmp_path / "hooks/pre-build"
    hook.parent.mkdir()
    hook.write_text(f'#!/bin/sh\ncp -p {secret} "$GOVMA_WORK_DIR/data/html/secret.txt"\n')
    hook.chmod(0o755)
    site.flags |= {
        "hooks_dir": str(hook.parent),
        "build_steps": [step("reads", "cat data/html/secret.txt > data/html/read.txt || echo no > data/html/read.txt")],
    }
    built(site)
    assert (site.current / "html/read.txt").read_text() == "no\n"
    assert (site.current / "html/secret.txt").read_text() == "root's"


def test_a_link_that_a_step_replaces_by_a_folder(site: Site) -> None:
    commit_link(site, "data/html/manual", "elsewhere")
    site.flags["build_steps"] = [
        step("only", "rm data/html/manual; mkdir data/html/manual; echo 1 > data/html/manual/1")
    ]
    for rebuild in (True, False):
        built(site, rebuild=rebuild)
        assert (site.current / "html/manual/1").read_text() == "1\n"
        assert not (site.current / "html/manual").is_symlink()


def test_what_a_person_has_beside_the_work_dir_is_left_alone(site: Site) -> None:
    work = site.settings.work_dir
    theirs = [work.with_name(f"{work.name}-steps"), work.with_name(work_dir.staging_name("steps", work))]
    for path in theirs:
        (path / "docs").mkdir(parents=True)
        (path / "docs/file").write_text("a person's")
    built(site, rebuild=True)
    assert [(path / "docs/file").read_text() for path in theirs] == ["a person's"] * 2
    assert f"{theirs[1]} is named like a leftover" in site.log("warning")


def test_a_step_may_be_hostile_to_its_own_tree(site: Site) -> None:
    """It removes what is watched, moves its tree's content away, and writes outside of data/ only."""
    site.flags["build_steps"] = [
        step("gone", "rm -rf resources docs tools; mkdir docs; echo mine > docs/one.md"),
        step("away", "mkdir x; mv data x; mv x/data .", after=[]),
        step("many", "mkdir many; cd many; seq 20000 | xargs touch", after=[]),
    ]
    assert built(site) == ["gone", "away", "many"]
    assert (site.current / "html/index.php").exists()
    assert not (site.current / "many").exists()
    assert built(site) == []


@as_root
@pytest.mark.root
def test_a_step_comes_to_no_tree_but_its_own(site: Site) -> None:
    look = f"ls ..; ls ../one; cat ../one/data/html/index.php; ls ../../{site.settings.work_dir.name}"
    write = f"echo x > ../x; echo x > ../one/x; echo x > ../../{site.settings.work_dir.name}/data/html/x"
    site.flags["build_steps"] = [
        step("one", "echo 1 > data/html/one"),
        step("two", f"({look}; {write}) > data/html/seen 2>/dev/null; [ ! -e data/html/one ]", after=[]),
    ]
    assert built(site) == ["one", "two"]
    assert (site.current / "html/seen").read_text() == ""
    assert not (site.current / "html/x").exists()


@pytest.mark.parametrize("damage", ["truncated", "other", "older", "folder"])
def test_a_damaged_or_older_entry_is_built_again(site: Site, damage: str) -> None:
    mine = published(site)
    for index in (site.settings.state_dir / "assets").glob("*/index.json"):
        text = index.read_text()
        if damage == "truncated":
            index.write_text(text[: len(text) // 2])
        elif damage == "other":
            index.write_text(json.dumps(json.loads(text) | {"outputs": [], "inputs": {}}))
        elif damage == "folder":
            index.unlink()
            index.mkdir()
        elif damage == "older":
            index.parent.rename(index.parent.with_name(index.parent.name[3:] * 4))
    assert built(site) == ["install", "styles", "scripts", "docs"]
    assert ("is damaged; it is removed" in site.log("warning")) == (damage in ("truncated", "other"))
    assert published(site) == mine
    assert built(site) == []


@pytest.mark.parametrize("steps", ["x", ["x"], [{}], [{"name": "x", "seconds": "x"}], [{"name": "x", "changed": 1}]])
def test_a_manifest_whose_steps_are_damaged_counts_as_none(site: Site, steps: Any) -> None:
    path = site.settings.state_dir / "versions" / f"{site.current.name}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"steps": steps}))
    assert ManifestStore(site.settings.state_dir).read(site.current.name) is None


def test_if_new_sees_that_a_step_comes_after_others_now(site: Site) -> None:
    assert site.deploy(if_new=True).state == "unchanged"
    site.flags["build_steps"][2]["after"] = []
    assert site.deploy(if_new=True).state == "ok"


def test_steps_that_cannot_be_are_all_named_at_once(site: Site) -> None:
    site.flags["build_steps"] = [
        step("one", "true", after=["two"]),
        step("two", "true", after=["one"]),
        step("three", "true", after=["nobody"]),
        step("three", "true", after=[]),
    ]
    with pytest.raises(ConfigurationError) as caught:
        _ = site.settings
    assert len(str(caught.value).splitlines()) == 2
    for part in ("more than one step three", "three comes after nobody"):
        assert part in str(caught.value)
    site.flags["build_steps"][2:] = [step("three", "true", after=["three", "nobody"])]
    with pytest.raises(ConfigurationError) as caught:
        _ = site.settings
    assert len(str(caught.value).splitlines()) == 2
    for part in ("three comes after nobody", "one, three, two would wait for ever"):
        assert part in str(caught.value)
