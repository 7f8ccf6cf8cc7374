"""When install_command runs, and which steps run because of what it, or somebody else, has installed."""

from __future__ import annotations

import os
from typing import Any

import pytest

from govma_core.errors import BuildError
from tests.support.sites import Site
from tests.support.step_site import built, step, with_steps


@pytest.fixture
def site(site: Site) -> Site:
    return with_steps(site)


def patching() -> dict[str, Any]:
    """Return the settings of a build in which a step changes what was installed, for the one after it."""
    return {
        "install_command": "rm -rf node_modules/*; mkdir node_modules/package;"
        " echo new > node_modules/package/index.js; cp package.json node_modules/.package-lock.json",
        "build_steps": [
            step("patch", "echo patched > node_modules/package/index.js"),
            step("pack", "cat node_modules/package/index.js docs/one.md > data/html/packed"),
        ],
    }


def test_the_install_command_is_left_out_while_node_modules_is_as_it_left_it(site: Site) -> None:
    # npm writes its note anew though nothing changes.
    lock = site.settings.node_modules_dir / ".package-lock.json"
    lock.write_bytes(lock.read_bytes())
    site.sample.commit({"docs/one.md": "Two"}, "Documentos")
    assert built(site) == ["docs"]
    assert site.stages()["assets/install"].outcome == "skipped"
    (site.settings.node_modules_dir / "package").mkdir()
    site.sample.commit({"docs/one.md": "Three"}, "Documentos")
    # The first two may have changed what was installed, for the third.
    assert built(site) == ["install", "styles", "scripts", "docs"]
    assert "install runs: node_modules is not as it left it" in site.log()


def test_what_a_step_does_to_node_modules_is_done_again_when_that_is_installed_anew(site: Site) -> None:
    """Guards packages that are patched by a step: node_modules is not in what it made."""
    site.flags |= patching()
    package = (site.sample.developer / "package.json").read_text()
    for files in ({"package.json": "{}"}, {"package.json": package, "docs/one.md": "Two"}, {"docs/one.md": "Three"}):
        site.sample.commit(files, "Pacotes e documentos")
        ran = built(site)
        assert (site.current / "html/packed").read_text() == f"patched\n{files.get('docs/one.md', 'One')}"
    assert ran == ["patch", "pack"]
    assert "patch is not recorded for the next deploys: node_modules was changed while it ran" in site.log("warning")


@pytest.mark.parametrize("unless", ["false", "cmp -s docs/one.md node_modules/package/index.js"])
def test_what_a_step_generates_into_node_modules_is_never_that_of_another_commit(site: Site, unless: str) -> None:
    """Guards clients that are generated into a package, also where nothing is written when nothing has changed."""
    site.flags |= {
        "install_command": "mkdir -p node_modules/package; cp package.json node_modules/.package-lock.json",
        "build_steps": [
            step("generate", f"{unless} || cat docs/one.md > node_modules/package/index.js"),
            step("pack", "cat node_modules/package/index.js resources/js/a.js > data/html/packed"),
        ],
    }
    history = [("One", "a()"), ("One", "a()"), ("Two", "a()"), ("Two", "a()"), ("One", "b()"), ("Two", "a()")]
    for number, (document, script) in enumerate(history):
        files = {"docs/one.md": document, "resources/js/a.js": script, "data/html/number": str(number)}
        site.sample.commit(files, "Documentos e scripts")
        ran = built(site)
        assert (site.current / "html/packed").read_text() == document + script
    assert ran == ["generate", "pack"]
    assert "pack runs: a step before it changed node_modules" in site.log()


def test_what_tools_cache_in_node_modules_changes_nothing(site: Site) -> None:
    site.flags["build_steps"] = [step("only", "mkdir -p node_modules/.cache; date > node_modules/.cache/made")]
    assert built(site) == ["only"]
    assert built(site) == []


def test_what_a_step_did_to_node_modules_is_done_again_after_a_deploy_that_failed(site: Site) -> None:
    """Guards against an installation that is recorded before the step that patches it has run."""
    site.flags |= patching()
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


def test_a_node_modules_in_the_repository_is_not_in_the_way(site: Site) -> None:
    site.sample.commit({"node_modules/committed.js": "x"}, "Não devia")
    site.flags["build_steps"] = [step("only", "ls -A node_modules > data/html/modules.txt")]
    assert "only" in built(site, rebuild=True)
    assert (site.current / "html/modules.txt").read_text() == ".package-lock.json\n"


def test_names_below_data_that_the_install_command_read_are_part_of_what_is_installed(site: Site) -> None:
    """Guards packages that are installed by what there is: `for theme in data/html/themes/*`."""
    site.flags |= {
        "install_command": "mkdir -p node_modules/p; ls data/html/own > node_modules/p/own;"
        " cp package.json node_modules/.package-lock.json",
        "build_steps": [step("pack", "cat node_modules/p/own docs/one.md > data/html/packed")],
    }
    for name in ("a", "b"):
        site.sample.commit({f"data/html/own/{name}": "x"}, "Um tema")
        assert built(site) == ["install", "pack"]
    assert (site.current / "html/packed").read_text() == "a\nb\nOne"
