"""What counts as read by a step of a build: seen, or named by globs."""

from __future__ import annotations

import pytest

from govma_core.building import read_watch
from govma_core.errors import ConfigurationError
from tests.support.sites import Site
from tests.support.step_site import built, commit_link, published, step, with_steps


@pytest.fixture
def site(site: Site) -> Site:
    return with_steps(site)


@pytest.mark.parametrize("path", ["resources/css/c.css", "docs/two.md"])
def test_a_new_file_beside_a_read_one_is_a_change(site: Site, path: str) -> None:
    site.sample.commit({path: "new"}, "Um arquivo novo")
    # That nobody looked for it is not seen: all run.
    assert built(site) == ["install", "styles", "scripts", "docs"]
    mine = published(site)
    built(site, rebuild=True)
    assert published(site) == mine


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


@pytest.mark.parametrize("asset_inputs", ["auto", ["docs/**"]])
@pytest.mark.parametrize(
    ("command", "path"),
    [
        ("[ -e .rc ] && cp .rc data/html/rc; cat docs/one.md > data/html/one", ".rc"),
        ("rm -rf data/html/js; mkdir data/html/js; cp docs/one.md data/html/js", "data/html/js/old.js"),
        ("rm -rf data/html/js; mkdir data/html/js", "data/html/js/old.js"),
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
    assert built(site) == ([] if path.startswith("data/") else ["install"]) + ["only"]
    mine = published(site)
    built(site, rebuild=True)
    assert published(site) == mine


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
    for others in (["styles", "scripts"], []):
        assert built(site) == [*others, "docs"]
        assert "docs read docs/one.md, which its inputs do not name" in site.log("warning")
    site.flags["build_steps"][2]["inputs"] = ["docs/**"]
    built(site)
    assert built(site) == []
    site.sample.commit({"docs/one.md": "Two", "resources/css/a.css": "a{x:y}"}, "Duas")
    assert built(site) == ["styles", "scripts", "docs"]
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
        assert built(site) == ["docs"]
        assert "docs is not recorded for the next deploys: it opened more at once" in site.log("warning")


ended = read_watch.ReadWatch.end


def unsure(watch: read_watch.ReadWatch) -> frozenset[str]:
    opened = ended(watch)
    watch.problem = "queue"
    return opened


def test_what_globs_name_is_an_input_though_it_was_seen_that_nobody_opened_it(site: Site) -> None:
    """Guards who names a file by hand because the step only asks for its size."""
    site.flags["build_steps"] = [step("size", "stat -c %s data/html/index.php > data/html/size.txt")]
    built(site)
    site.flags["build_steps"][0]["inputs"] = ["data/html/index.php"]
    assert built(site) == ["size"]
    site.sample.commit({"data/html/index.php": "<?php // another"}, "Outro tamanho")
    assert built(site) == ["size"]
    assert (site.current / "html/size.txt").read_text() == "16\n"
