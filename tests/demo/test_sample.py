"""The sample site: its layout, its history, its build, and that removing it harms nobody."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import tarfile
import tomllib
from pathlib import Path

import pytest

from govma_console import demo
from govma_console.demo.create import git
from govma_console.demo.history import AUTHORS
from govma_core.context import Context
from govma_core.services.view import view
from govma_core.settings import load
from tests.support.sample import LEGACY_VERSION, SUBSITES, SampleSite, create_sample, files_below

COLORS = "resources/sass/_variaveis.scss"
HOME = "system/user/templates/portal/site.group/index.html"
COMPILED = "data/system/user/templates/portal/css.group/site.css"


def checkout(site: SampleSite, target: Path) -> Path:
    """Copy the source checkout, as a deploy does."""
    shutil.copytree(site.source_dir, target)
    return target


def build(folder: Path, *tasks: str) -> subprocess.CompletedProcess[str]:
    """Run tasks of tools/build.sh one after the other, up to the first that fails."""
    script = "; ".join(f"sh tools/build.sh {task} || exit" for task in tasks)
    return subprocess.run(["sh", "-c", script], cwd=folder, capture_output=True, text=True, check=False)


def tracked(site: SampleSite) -> set[str]:
    return set(git("ls-files", "-z", cwd=site.source_dir).rstrip("\0").split("\0"))


def test_every_part_is_where_the_operators_document_has_it(site: SampleSite) -> None:
    expected = {
        "build-env/gov-tech__ma": site.source_dir,
        "build-env/gov_ma_node_modules": site.node_modules_dir,
        "ci/vendor": site.vendor_dir,
        "persistent-storage/upload-dir": site.upload_dir,
        "persistent-storage/images-dir": site.image_dir,
        "www_versions": site.versions_dir,
        "state": site.state_dir,
        "remote.git": site.remote,
        "developer": site.developer,
    }
    for relative, path in expected.items():
        assert path == site.root / relative
        assert path.is_dir(), relative
    assert not site.work_dir.exists()
    assert not any(site.state_dir.iterdir())
    assert stat.S_IMODE(site.env_file.stat().st_mode) == 0o600
    assert "DB_PASSWORD=" in site.env_file.read_text()


def test_the_settings_name_every_part(site: SampleSite) -> None:
    settings = tomllib.loads(site.config_file.read_text())
    folders = ("source_dir", "versions_dir", "upload_dir", "image_dir", "node_modules_dir", "env_file", "work_dir")
    for name in (*folders, "vendor_dir", "state_dir"):
        assert settings.pop(name) == str(getattr(site, name))
    assert settings.pop("builder") == "local"
    assert settings.pop("install_command") == "sh tools/build.sh install"
    assert settings.pop("build_commands") == ["sh tools/build.sh docs", "sh tools/build.sh prod"]
    assert settings.pop("asset_inputs") == "auto"
    assert settings == {}


def test_the_core_accepts_the_settings(site: SampleSite) -> None:
    from govma_core.settings import load

    settings = load({}, file=site.config_file).settings
    assert settings.source_dir == site.source_dir
    assert settings.ee_path.is_file()
    assert settings.themes_path.is_file()


def test_history_has_several_commits_by_two_people_in_order_of_time(site: SampleSite) -> None:
    lines = git("log", "--reverse", "--format=%an|%at|%s", "origin/main", cwd=site.source_dir).splitlines()
    names, times, subjects = zip(*(line.split("|") for line in lines), strict=True)
    assert len(lines) >= 5
    assert set(names) == {author.partition(" <")[0] for author in AUTHORS}
    assert len(AUTHORS) == 2
    assert list(times) == sorted(times)
    assert len(set(subjects)) == len(subjects)
    assert git("symbolic-ref", "HEAD", cwd=site.remote).strip() == "refs/heads/main"


def test_the_site_of_the_demo_has_a_history_that_builds_and_a_legacy_version(tmp_path: Path) -> None:
    """Guards what `govma-console demo` makes; the other tests have sites with more files."""
    own = demo.create_sample(tmp_path / "site")
    subjects = git("log", "--format=%s", "main", cwd=own.remote).splitlines()
    assert (len(subjects), subjects[-1]) == (6, "Importa o site para o novo repositório")
    assert git("status", "--porcelain", cwd=own.developer) == ""
    shutil.copytree(own.developer, tmp_path / "work")
    assert build(tmp_path / "work", "install", "docs", "prod").returncode == 0
    assert "5c1010" in (tmp_path / "work" / COLORS).read_text()
    live = own.root / "www_versions/current-version"
    assert "Notícias do Governo" in (live / HOME).read_text()
    assert (live / "system/ee/eecms").stat().st_mode & 0o100
    assert (own.root / "persistent-storage/upload-dir/portal/edital 2021-07.txt").is_file()


def test_the_services_of_the_demo_are_its_own(tmp_path: Path) -> None:
    """Guards that the demo on a server neither shows nor touches what the real site's containers are."""
    own = demo.create_sample(tmp_path / "site")
    settings = load({}, file=own.config_file).settings
    services = view(Context.for_reading(settings))
    assert (services.project, services.directory) == ("govma-demo", str(own.root / "prod-env"))
    assert {service.name for service in services.services} == {"apache", "nginx", "redis"}
    assert {service.state for service in services.services} <= {"absent", "unknown"}
    assert {store.name for store in services.storage} >= {"redis", "nginx"}
    assert [store for store in services.storage if store.problem] == []
    assert git("status", "--porcelain", cwd=own.root / "prod-env") == ""


def test_the_same_arguments_give_the_same_commit(site: SampleSite, tmp_path: Path) -> None:
    again = create_sample(tmp_path / "elsewhere", legacy_version=False)
    assert git("rev-parse", "main", cwd=again.remote) == git("rev-parse", "main", cwd=site.remote)
    other = create_sample(tmp_path / "other", legacy_version=False, base_image="busybox")
    assert git("rev-parse", "main", cwd=other.remote) != git("rev-parse", "main", cwd=site.remote)
    assert (other.source_dir / "docker/builder/Dockerfile").read_text() == "FROM busybox\n"


def test_both_checkouts_are_clean_and_up_to_date(site: SampleSite) -> None:
    for folder in (site.source_dir, site.developer):
        assert git("status", "--porcelain", "--branch", cwd=folder).splitlines() == ["## main...origin/main"]
        assert git("fsck", "--strict", cwd=folder) == ""


def test_the_number_of_generated_files_is_the_one_asked_for(site: SampleSite, tmp_path: Path) -> None:
    more = create_sample(tmp_path / "more", legacy_version=False, files=65)
    assert len(tracked(more)) == len(tracked(site)) + 5
    assert len(set(SUBSITES)) == 67
    wide = create_sample(tmp_path / "wide", legacy_version=False, files=700)
    for folder, fixed in (("data/system/user/templates", set()), ("data/html/assets", {"comum"})):
        assert {path.name for path in (wide.source_dir / folder).iterdir()} == set(SUBSITES) | fixed
    contents = [data for path, data in files_below(wide.source_dir / "data").items() if "noticias.group" in path]
    assert len(set(contents)) == len(contents)


@pytest.mark.parametrize("files", [0, 1, 7])
def test_few_files_make_a_site_as_well(tmp_path: Path, files: int) -> None:
    small = create_sample(tmp_path / "small", files=files, vendor_files=12)
    assert (small.versions_dir / "current-version/html/index.php").is_file()


def test_what_the_real_repository_has_is_tracked(site: SampleSite) -> None:
    expected = {
        "package.json",
        "package-lock.json",
        "webpack.mix.js",
        "docker-compose.yml",
        "docker/apache/Dockerfile",
        ".gitignore",
        "data/html/index.php",
        "data/html/.htaccess",
        "data/html/uploads/saude/logo.svg",
        "data/html/themes/user/govma/painel.css",
        "data/system/index.html",
        "data/system/user/config/config.php",
        "data/system/user/config/.env.sample",
        "data/system/user/cache/.gitkeep",
    }
    assert expected <= tracked(site)
    assert "resolved" not in (site.source_dir / "package-lock.json").read_text()
    for parts in ("data/html/docs/x", "data/system/user/config/.env", "data/system/user/cache/x", COMPILED):
        git("check-ignore", "--quiet", parts, cwd=site.source_dir)


def test_the_build_script_works_as_it_is_and_leaves_only_ignored_files(site: SampleSite, tmp_path: Path) -> None:
    work = checkout(site, tmp_path / "work")
    before = files_below(work / "data")
    ended = build(work, "install", "docs", "prod")
    assert ended.returncode == 0, ended.stderr
    assert 20 <= len(ended.stdout.splitlines()) <= 60
    assert "100% building" in ended.stdout
    outputs = files_below(work / "data").keys() - before.keys()
    assert {"html/docs/index.html", "html/docs/botao.html", COMPILED.removeprefix("data/")} <= outputs
    assert "color: #333333;" in (work / COMPILED).read_text()
    assert "&lt;do órgão&gt;" in (work / "data/html/docs/rodape.html").read_text()
    assert git("status", "--porcelain", cwd=work) == ""


def test_the_build_depends_on_its_inputs_alone(site: SampleSite, tmp_path: Path) -> None:
    works = [checkout(site, tmp_path / name) for name in ("first", "second", "changed")]
    (works[2] / COLORS).write_text((works[2] / COLORS).read_text().replace("#5c1010", "#123456"))
    for work in works:
        assert build(work, "docs", "prod").returncode == 0
    first, second, changed = (files_below(work / "data") for work in works)
    assert first == second
    differing = {path for path in first if first[path] != changed[path]}
    assert differing
    assert all(path.endswith("css.group/site.css") for path in differing)


def test_a_mistake_in_a_style_sheet_fails_the_build(site: SampleSite, tmp_path: Path) -> None:
    work = checkout(site, tmp_path / "work")
    with (work / "resources/sass/saude/app.scss").open("a") as file:
        file.write(".x { color: $cor-que-falta; }\n")
    ended = build(work, "prod")
    assert ended.returncode != 0
    assert "Undefined variable $cor-que-falta in resources/sass/saude/app.scss" in ended.stderr
    assert "compiled successfully" not in ended.stdout


@pytest.mark.skipif(shutil.which("node") is None, reason="needs a node program")
def test_node_builds_the_same_files_as_the_shell(site: SampleSite, tmp_path: Path) -> None:
    shell, node = checkout(site, tmp_path / "shell"), checkout(site, tmp_path / "node")
    package = node / "node_modules/is-number"
    package.mkdir(parents=True)
    # stands in for the one dependency: this test needs no registry
    (package / "index.js").write_text("module.exports = (text) => text !== '' && Number.isFinite(Number(text))\n")
    by_shell = build(shell, "docs", "prod")
    by_node = [
        subprocess.run(["node", "tools/build.js", task], cwd=node, capture_output=True, text=True, check=True).stdout
        for task in ("docs", "prod")
    ]
    assert "".join(by_node) == by_shell.stdout
    assert files_below(node / "data") == files_below(shell / "data")


def test_npm_pins_one_package_and_builds_with_node(tmp_path: Path) -> None:
    npm = create_sample(tmp_path / "npm", npm=True, legacy_version=False)
    package = json.loads((npm.source_dir / "package.json").read_text())
    lock = json.loads((npm.source_dir / "package-lock.json").read_text())
    assert package["dependencies"] == {"is-number": lock["packages"]["node_modules/is-number"]["version"]}
    assert package["scripts"] == {"build:docs": "node tools/build.js docs", "prod": "node tools/build.js prod"}
    assert "resolved" not in str(lock)
    assert "install_command" not in tomllib.loads(npm.config_file.read_text())


def test_tarballs_hold_one_top_folder_each_and_the_number_of_files_asked_for(tmp_path: Path) -> None:
    small = create_sample(tmp_path / "small", vendor_files=100, legacy_version=False)
    members: dict[str, list[tarfile.TarInfo]] = {}
    for name, top in (("ee.6.0.6.patched-v2.tar.gz", "ee"), ("themes.tar.gz", "themes")):
        with tarfile.open(small.vendor_dir / name) as archive:
            members[top] = archive.getmembers()
        assert {member.name.split("/")[0] for member in members[top]} == {top}
    assert sum(member.isfile() for entries in members.values() for member in entries) == 100
    # a folder that the repository has as well: the tarball must be merged into it, not replace it
    assert "themes/user" in {member.name for member in members["themes"]}


def test_the_legacy_version_is_what_the_former_script_makes_of_the_first_commit(
    site: SampleSite, tmp_path: Path
) -> None:
    version = site.versions_dir / LEGACY_VERSION
    assert sorted(os.listdir(site.versions_dir)) == ["current-version", LEGACY_VERSION]
    assert os.readlink(site.versions_dir / "current-version") == LEGACY_VERSION
    assert os.readlink(version / "html/uploads") == "../../../uploads"
    assert os.readlink(version / "html/images") == "../../../images"

    work = checkout(site, tmp_path / "work")
    git("checkout", "--quiet", "HEAD~5", cwd=work)
    assert git("rev-list", "--count", "HEAD", cwd=work).strip() == "1"
    assert build(work, "docs", "prod").returncode == 0
    for name, target in (("ee.6.0.6.patched-v2.tar.gz", "system"), ("themes.tar.gz", "html")):
        subprocess.run(["tar", "xzf", site.vendor_dir / name, "-C", work / "data" / target], check=True)
    shutil.copy(site.env_file, work / "data/system/user/config/.env")
    for shared in ("uploads", "images"):
        shutil.rmtree(work / "data/html" / shared)
    assert files_below(version) == files_below(work / "data")
    assert stat.S_IMODE((version / "system/ee/eecms").stat().st_mode) & 0o100


def test_persistent_folders_hold_what_came_with_the_version_and_what_people_added(site: SampleSite) -> None:
    shipped = site.source_dir / "data/html/uploads"
    assert (site.upload_dir / "saude/logo.svg").read_bytes() == (shipped / "saude/logo.svg").read_bytes()
    assert (site.upload_dir / "portal/logo.svg").read_bytes() != (shipped / "portal/logo.svg").read_bytes()
    assert not (shipped / "portal/edital 2021-07.txt").exists()
    assert (site.upload_dir / "portal/edital 2021-07.txt").is_file()
    newest = {path.name for path in shipped.iterdir()} - {path.name for path in site.upload_dir.iterdir()}
    assert len(newest) == 1


def test_without_a_legacy_version_nothing_is_live(own: SampleSite) -> None:
    for folder in (own.versions_dir, own.upload_dir, own.image_dir):
        assert not any(folder.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_root_gives_folders_to_the_owners_of_production(site: SampleSite) -> None:
    def owners(folder: Path) -> set[tuple[int, int]]:
        states = (path.lstat() for path in (folder, *folder.rglob("*")))
        return {(state.st_uid, state.st_gid) for state in states}

    for folder in (site.versions_dir, site.upload_dir, site.image_dir):
        assert owners(folder) == {(33, 33)}
    assert owners(site.node_modules_dir) == {(1000, 1000)}
    assert owners(site.source_dir) == {(0, 0)}
