"""Which steps of a build a deploy runs, which it takes from the cache, and that the result is the same either way."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from govma_core.building import read_watch, step_tree, work_dir
from govma_core.errors import BuildError, ConfigurationError
from govma_core.versions.manifest import ManifestStore
from tests.support.rights import as_root
from tests.support.sites import Site

STYLES = "cat resources/css/*.css > data/html/site.css"
SCRIPTS = "sh tools/scripts.sh"
DOCS = "mkdir -p data/html/manual; for page in docs/*.md; do cp $page data/html/manual; done"
FILES = {
    "resources/css/a.css": "a{}",
    "resources/css/b.css": "b{}",
    "resources/js/a.js": "a()",
    "docs/one.md": "One",
    "tools/scripts.sh": "cat resources/js/*.js > data/html/site.js\n",
}


@pytest.fixture
def site(site: Site) -> Site:
    """The sample site with three steps that each read something else."""
    site.sample.commit(FILES, "Passos")
    site.flags |= {
        "asset_inputs": "auto",
        "install_command": "mkdir -p node_modules; cat package.json > node_modules/.package-lock.json",
        "build_steps": [step("styles", STYLES), step("scripts", SCRIPTS), step("docs", DOCS)],
    }
    site.deploy()
    return site


def step(name: str, command: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "command": command, **more}


def built(site: Site, **arguments: Any) -> list[str]:
    """Deploy; return the steps that ran."""
    version = site.deploy(**arguments).version
    manifest = ManifestStore(site.settings.state_dir).read(version)
    assert manifest is not None
    return [origin.name for origin in manifest.steps if not origin.run]


def published(site: Site) -> dict[str, str]:
    files = [path for path in (site.current / "html").rglob("*") if path.is_file() and "themes" not in path.parts]
    return {str(path.relative_to(site.current)): f"{path.stat().st_mode:o} {path.read_bytes()!r}" for path in files}


def commit_link(site: Site, path: str, target: str) -> None:
    (site.sample.developer / path).symlink_to(target)
    subprocess.run(["git", "-C", site.sample.developer, "add", path], check=True)
    site.sample.commit({"data/html/x": path}, "Um link")


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


@pytest.mark.parametrize("path", ["resources/css/c.css", "docs/two.md"])
def test_a_new_file_beside_a_read_one_is_a_change(site: Site, path: str) -> None:
    site.sample.commit({path: "new"}, "Um arquivo novo")
    assert {"resources": "styles", "docs": "docs"}[path.split("/")[0]] in built(site)
    mine = published(site)
    built(site, rebuild=True)
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


def test_the_install_command_is_left_out_while_node_modules_is_as_it_left_it(site: Site) -> None:
    site.sample.commit({"docs/one.md": "Two"}, "Documentos")
    assert built(site) == ["docs"]
    assert site.stages()["assets/install"].outcome == "skipped"
    (site.settings.node_modules_dir / "package").mkdir()
    site.sample.commit({"docs/one.md": "Three"}, "Documentos")
    # The first two may have changed what was installed, for the third.
    assert built(site) == ["install", "styles", "scripts", "docs"]
    assert "install runs: node_modules is not as it left it" in site.log()


def test_what_a_step_does_to_node_modules_is_done_again_when_that_is_installed_anew(site: Site) -> None:
    """Guards packages that are patched by a step: its result is recorded, and node_modules is not in it."""
    site.flags["build_steps"] = [
        step("patch", "echo patched > node_modules/package/index.js"),
        step("pack", "cat node_modules/package/index.js docs/one.md > data/html/packed"),
    ]
    site.flags["install_command"] = (
        "rm -rf node_modules/*; mkdir node_modules/package; echo new > node_modules/package/index.js;"
        " cp package.json node_modules/.package-lock.json"
    )
    package = (site.sample.developer / "package.json").read_text()
    for files in ({"package.json": "{}"}, {"package.json": package, "docs/one.md": "Two"}, {"docs/one.md": "Three"}):
        site.sample.commit(files, "Pacotes e documentos")
        ran = built(site)
        assert (site.current / "html/packed").read_text() == f"patched\n{files.get('docs/one.md', 'One')}"
    assert ran == ["pack"]


def test_what_a_step_did_to_node_modules_is_done_again_after_a_deploy_that_failed(site: Site) -> None:
    """Guards against an installation that is recorded before the step that patches it has run."""
    site.flags["build_steps"] = [
        step("patch", "echo patched > node_modules/package/index.js"),
        step("pack", "cat node_modules/package/index.js docs/one.md > data/html/packed"),
    ]
    site.flags["install_command"] = (
        "rm -rf node_modules/*; mkdir node_modules/package; echo new > node_modules/package/index.js;"
        " cp package.json node_modules/.package-lock.json"
    )
    built(site)
    other = site.settings.node_modules_dir / "other"
    other.mkdir()
    if os.geteuid() == 0:
        os.chown(other, *site.settings.build_owner)
    site.sample.commit({"docs/one.md": "Two"}, "Documentos")
    site.flags["build_steps"].append(step("fails", "exit 1", after=[]))
    site.flags["build_steps"][0]["after"] = ["fails"]
    with pytest.raises(BuildError, match="the step fails"):
        site.deploy()
    del site.flags["build_steps"][2], site.flags["build_steps"][0]["after"]
    assert built(site) == ["install", "patch", "pack"]
    assert (site.current / "html/packed").read_text() == "patched\nTwo"


def test_a_warm_install_is_recorded_with_what_it_read_when_it_was_cold(site: Site) -> None:
    """Guards against building all because npm need not read again what is installed."""
    site.flags["install_command"] = (
        "[ -e node_modules/package ] || cat docs/one.md >/dev/null; mkdir -p node_modules/package;"
        " cp package.json node_modules/.package-lock.json"
    )
    built(site)
    (site.settings.node_modules_dir / "other").mkdir()
    site.sample.commit({"resources/css/a.css": "a{x:y}"}, "Cores")
    site.flags["build_steps"] = [{**each, "after": []} for each in site.flags["build_steps"]]
    assert built(site) == ["install", "styles"]


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


def test_a_folder_that_a_step_made_and_that_a_commit_makes_a_link(site: Site) -> None:
    site.flags["build_steps"] = [
        step("only", "rm -rf data/html/made; mkdir data/html/made; cat docs/one.md > data/html/made/one")
    ]
    built(site)
    commit_link(site, "data/html/made", "manual")
    assert built(site) == ["only"]
    assert (site.current / "html/made/one").read_text() == "One"
    assert not (site.current / "html/made").is_symlink()


def test_names_above_a_folder_with_a_link_count(site: Site) -> None:
    site.sample.commit({"data/html/t/x.js": "x()"}, "Um script")
    commit_link(site, "data/html/t/link", "x.js")
    command = "cat data/html/t/x.js > data/html/made; [ -e data/html/rc ] && echo rc >> data/html/made; true"
    site.flags["build_steps"] = [step("only", command)]
    built(site)
    assert built(site) == []
    site.sample.commit({"data/html/rc": "new"}, "Um arquivo acima")
    assert built(site) == ["only"]


def test_an_installation_of_which_nothing_is_noted_has_every_step_run(site: Site) -> None:
    """Guards folders that are not npm's: an upgrade of all packages would change nothing that is seen."""
    site.flags["install_command"] = ""
    (site.settings.node_modules_dir / ".package-lock.json").unlink()
    package = site.settings.node_modules_dir / "package"
    package.mkdir()
    if os.geteuid() == 0:
        os.chown(package, *site.settings.build_owner)
    for _ in range(2):
        assert built(site) == ["styles", "scripts", "docs"]
        assert "docs runs: what is installed in node_modules is not known" in site.log()


def test_another_install_command_has_every_step_run_though_it_reads_the_same(site: Site) -> None:
    """Guards against assets that were made with what the former one installed."""
    site.flags["install_command"] += "; :"
    assert built(site) == ["install", "styles", "scripts", "docs"]


def test_what_others_install_counts_where_there_is_no_install_command(site: Site) -> None:
    site.flags["install_command"] = ""
    assert built(site) == ["styles", "scripts", "docs"]
    assert built(site) == []
    (site.settings.node_modules_dir / "package").mkdir()
    assert built(site) == ["styles", "scripts", "docs"]


@pytest.mark.parametrize("asset_inputs", ["auto", ["docs/**"]])
@pytest.mark.parametrize(
    ("command", "path"),
    [
        ("[ -e .rc ] && cp .rc data/html/rc; cat docs/one.md > data/html/one", ".rc"),
        ("rm -rf data/html/js; mkdir data/html/js; cp docs/one.md data/html/js", "data/html/js/old.js"),
        ("cat docs/one.md > data/html/made", "data/html/made"),
        ("cat docs/one.md docs/also.md > data/html/made 2>/dev/null || true", "docs/also.md"),
        (
            "cat docs/one.md > data/html/one; [ ! -e resources/js/rc ] || cp resources/js/rc data/html",
            "resources/js/rc",
        ),
    ],
)
def test_what_was_not_there_before_has_a_step_run(
    site: Site, asset_inputs: str | list[str], command: str, path: str
) -> None:
    site.flags |= {"asset_inputs": asset_inputs, "build_steps": [step("only", command)]}
    built(site)
    assert built(site) == []
    site.sample.commit({path: "new\n"}, "Um arquivo que não havia")
    assert "only" in built(site)
    mine = published(site)
    built(site, rebuild=True)
    assert published(site) == mine


def test_a_link_that_a_step_replaces_by_a_folder(site: Site) -> None:
    commit_link(site, "data/html/manual", "elsewhere")
    site.flags["build_steps"] = [
        step("only", "rm data/html/manual; mkdir data/html/manual; echo 1 > data/html/manual/1")
    ]
    for rebuild in (True, False):
        built(site, rebuild=rebuild)
        assert (site.current / "html/manual/1").read_text() == "1\n"
        assert not (site.current / "html/manual").is_symlink()


def test_a_node_modules_in_the_repository_is_not_in_the_way(site: Site) -> None:
    site.sample.commit({"node_modules/committed.js": "x"}, "Não devia")
    site.flags["build_steps"] = [step("only", "ls -A node_modules > data/html/modules.txt")]
    assert "only" in built(site, rebuild=True)
    assert (site.current / "html/modules.txt").read_text() == ".package-lock.json\n"


def test_what_a_person_has_beside_the_work_dir_is_left_alone(site: Site) -> None:
    work = site.settings.work_dir
    theirs = [work.with_name(f"{work.name}-steps"), work.with_name(work_dir.staging_name("steps", work))]
    for path in theirs:
        (path / "docs").mkdir(parents=True)
        (path / "docs/file").write_text("a person's")
    built(site, rebuild=True)
    assert [(path / "docs/file").read_text() for path in theirs] == ["a person's"] * 2
    assert f"{theirs[1]} is named like a leftover" in site.log("warning")


@pytest.mark.parametrize("globs", [["/resources/**"], ["../x"]])
def test_a_glob_that_can_fit_nothing_is_a_fault_of_the_settings(site: Site, globs: list[str]) -> None:
    site.flags["asset_inputs"] = globs
    with pytest.raises(ConfigurationError, match="is not a glob over relative paths"):
        _ = site.settings


def test_a_plain_folder_among_the_globs_stands_for_what_is_in_it(site: Site) -> None:
    site.flags["asset_inputs"] = ["resources/", "tools", "docs"]
    assert built(site, rebuild=True) == ["install", "styles", "scripts", "docs"]
    assert site.log("warning").count("which its inputs do not name") == 0
    site.sample.commit({"docs/one.md": "Two"}, "Documentos")
    assert built(site) == ["styles", "scripts", "docs"]


def test_globs_that_leave_out_what_a_step_reads_cannot_be_lived_with(site: Site) -> None:
    site.flags["asset_inputs"] = ["resources/**", "tools/**"]
    site.sample.commit({"docs/one.md": "Changed"}, "Documentos")
    for _ in range(2):
        assert "docs" in built(site)
        assert "docs read docs/one.md, which its inputs do not name" in site.log("warning")
    site.flags["build_steps"][2]["inputs"] = ["docs/**"]
    built(site)
    assert built(site) == []
    site.sample.commit({"docs/one.md": "Two", "resources/css/a.css": "a{x:y}"}, "Duas")
    assert "docs" in built(site)
    assert (site.current / "html/manual/one.md").read_text() == "Two"


def test_a_step_with_inputs_false_always_runs_and_others_do_not(site: Site) -> None:
    site.flags["build_steps"][2]["inputs"] = False
    assert built(site) == ["docs"]
    assert built(site) == ["docs"]


def test_a_step_that_reads_the_repository_is_not_recorded(site: Site) -> None:
    site.flags["build_steps"][2]["command"] = "cat .git/HEAD > data/html/commit.txt"
    for _ in range(2):
        assert built(site) == ["docs"]
        assert "docs is not recorded for the next deploys: it read the repository" in site.log("warning")


def test_a_step_that_could_not_be_watched_is_not_recorded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_watch.ReadWatch, "end", unsure)
    site.sample.commit({"docs/one.md": "Two"}, "Documentos")
    for _ in range(2):
        assert "docs" in built(site)
        assert "docs is not recorded for the next deploys: it opened more at once" in site.log("warning")


ended = read_watch.ReadWatch.end


def unsure(watch: read_watch.ReadWatch) -> frozenset[str]:
    opened = ended(watch)
    watch.problem = "queue"
    return opened


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
    assert built(site) in ([], ["away"])


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


def test_what_globs_name_is_an_input_though_it_was_seen_that_nobody_opened_it(site: Site) -> None:
    """Guards who names a file by hand because the step only asks for its size."""
    site.flags["build_steps"] = [step("size", "stat -c %s data/html/index.php > data/html/size.txt")]
    built(site)
    site.flags["build_steps"][0]["inputs"] = ["data/html/index.php"]
    assert built(site) == ["size"]
    site.sample.commit({"data/html/index.php": "<?php // another"}, "Outro tamanho")
    assert built(site) == ["size"]
    assert (site.current / "html/size.txt").read_text() == "16\n"


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
