"""What is published is the commit, whatever the checkout's work tree holds or hides; with real git and git-lfs."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from govma_core.building.work_dir import emptied
from govma_core.deploy.source import Checkout, refusal
from govma_core.errors import ExitCode, GovmaError, PreflightError, SourceError
from govma_core.reporting import silent
from tests.deploy.test_source import git
from tests.support.sites import Site

Tree = dict[str, tuple[str, bytes]]
"""Mode as git writes it, and content, by path."""


def allow_local_submodules(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have all git commands take submodules from folders of this machine."""
    configuration = site.sample.root / "gitconfig"
    configuration.write_text('[protocol "file"]\n\tallow = always\n[user]\n\tname = a\n\temail = a@example.invalid\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(configuration))


def make_repository(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "Início")
    return folder


def push(site: Site, message: str) -> str:
    git(site.sample.developer, "add", "-A")
    git(site.sample.developer, "commit", "-qm", message)
    git(site.sample.developer, "push", "-q", "origin", "HEAD:main")
    return git(site.sample.developer, "rev-parse", "HEAD")


def in_git(repository: Path, commit: str, modules: dict[str, Path]) -> Tree:
    """Return what `git ls-tree -r` says of a commit, and of those that it records of submodules."""
    tree: Tree = {}
    for line in git(repository, "ls-tree", "-r", "-z", commit).split("\0"):
        about, _, path = line.partition("\t")
        mode, _, sha = about.split(" ") if path else ("", "", "")
        if mode == "160000":
            inner = in_git(modules[path], sha, modules)
            tree |= {f"{path}/{name}": entry for name, entry in inner.items()}
        elif path:
            tree[path] = mode, subprocess.check_output(["git", "cat-file", "blob", sha], cwd=repository)
    return tree


def on_disk(folder: Path) -> Tree:
    """Return the files and links of a version, by their paths in the repository."""
    tree: Tree = {}
    for path in folder.rglob("*"):
        name, info = f"data/{path.relative_to(folder)}", path.lstat()
        if stat.S_ISLNK(info.st_mode):
            tree[name] = "120000", os.fsencode(os.readlink(path))
        elif stat.S_ISREG(info.st_mode):
            tree[name] = f"100{stat.S_IMODE(info.st_mode):o}", path.read_bytes()
    return tree


def published(tree: Tree) -> Tree:
    """Return what of a commit comes into a version; the uploads go elsewhere."""
    elsewhere = ("data/html/uploads/", "data/html/images/")
    return {name: entry for name, entry in tree.items() if name.startswith("data/") and not name.startswith(elsewhere)}


def make_hostile(checkout: Path, *, sparse: bool) -> None:
    """Hide changes in the work tree in each way that `git status` does not show."""
    git(checkout, "update-index", "--assume-unchanged", "data/html/index.php", ".gitattributes")
    (checkout / "data/html/index.php").write_text("<?php evil();")
    (checkout / ".gitattributes").write_text("*.php text eol=crlf\n*.dos text eol=crlf\n")
    git(checkout, "config", "core.fileMode", "false")
    (checkout / "data/html/robots.txt").chmod(0o777)
    git(checkout, "config", "core.symlinks", "false")
    if sparse:
        git(checkout, "config", "index.sparse", "true")
        git(checkout, "sparse-checkout", "set", "--no-cone", "/*", "!/data/html/assets/")
        assert not (checkout / "data/html/assets").exists()
    else:
        git(checkout, "update-index", "--skip-worktree", "data/html/latest")
        (checkout / "data/html/latest").unlink()
        (checkout / "data/html/latest").write_text("skipped")
    (checkout / ".git/info/exclude").write_text("*.evil\n")
    (checkout / "data/html/x.evil").write_text("ignored")
    assert git(checkout, "status", "--porcelain") == ""


@pytest.mark.parametrize(("ref", "sparse"), [(None, False), ("release", True)])
def test_a_version_is_the_commit_in_a_hostile_checkout(
    site: Site, monkeypatch: pytest.MonkeyPatch, ref: str | None, *, sparse: bool
) -> None:
    allow_local_submodules(site, monkeypatch)
    first = site.deploy().commit
    added_later = on_disk(site.current).keys() - in_git(site.sample.developer, first, {}).keys()
    inner = make_repository(site.sample.root / "remotes/inner", {"deep.php": "<?php deep"})
    module = make_repository(site.sample.root / "remotes/module", {"a b.php": "<?php", "bin/run": "#!/bin/sh"})
    (module / "bin/run").chmod(0o755)
    git(module, "submodule", "--quiet", "add", "../inner", "parts/inner")
    git(module, "add", "-A")
    git(module, "commit", "-qm", "Mais")
    developer, checkout = site.sample.developer, site.settings.source_dir
    (developer / "data/html/latest").symlink_to("index.php")
    (developer / ".gitattributes").write_text("*.dos text eol=crlf\n*.unseen export-ignore\n")
    (developer / "data/html/page.dos").write_text("one\r\ntwo\r\n")
    (developer / "data/html/page.unseen").write_text("seen")
    (developer / "data/html/run.sh").write_text("#!/bin/sh")
    (developer / "data/html/run.sh").chmod(0o755)
    git(developer, "submodule", "--quiet", "add", str(module), "data/system/user/module")
    sha = push(site, "Tudo")
    git(checkout, "pull", "-q")
    (checkout / ".git/info").mkdir(exist_ok=True)
    make_hostile(checkout, sparse=sparse)
    if ref:
        git(developer, "push", "-q", "origin", "HEAD:release")
        site.sample.commit({"data/html/later.php": "<?php"}, "Depois")
    assert site.deploy(ref=ref).commit == sha
    expected = published(in_git(developer, sha, {"data/system/user/module": module, "parts/inner": inner}))
    there = on_disk(site.current)
    assert there.keys() - expected.keys() <= added_later
    # The version has the line ends that the commit asks for.
    assert expected["data/html/page.dos"] == ("100644", b"one\ntwo\n")
    expected["data/html/page.dos"] = "100644", b"one\r\ntwo\r\n"
    assert {name: there.get(name) for name in expected} == expected
    assert "data/system/user/module/parts/inner/deep.php" in expected
    assert "Ignored by git in the checkout, and not in the version: data/html/x.evil." in site.log()
    # The work tree is as it was, and the next deploy is not refused.
    assert (checkout / "data/html/index.php").read_text() == "<?php evil();"
    assert (checkout / "data/html/x.evil").exists()
    site.deploy()


def test_a_folder_alone_is_as_it_is_in_the_whole_commit(site: Site) -> None:
    """Guards --if-new: a builder's image that is made from the folder alone has to be that of a deploy."""
    developer, checkout = site.sample.developer, site.settings.source_dir
    (developer / ".gitattributes").write_text("*.dos text eol=crlf\n")
    (developer / "docker/builder/page.dos").write_text("one\n")
    (developer / "docker/builder/run.sh").write_text("true\n")
    (developer / "docker/builder/run.sh").chmod(0o755)
    sha = push(site, "Script")
    git(checkout, "pull", "-q")
    git(checkout, "replace", git(checkout, "rev-parse", f"{sha}:docker/builder/run.sh"), f"{sha}:.gitattributes")

    def laid_out(folder: str) -> Tree:
        work = site.settings.work_dir
        with (
            closing(Checkout(site.settings, silent())) as opened,
            emptied(work, site.settings.state_dir) as work_fd,
        ):
            opened.lay_out(opened.commit(sha), work_fd, None, folder)
        return {name: entry for name, entry in on_disk(work).items() if not name.startswith("data/.git/")}

    whole, alone = laid_out(""), laid_out("docker/builder")
    assert alone == {name: entry for name, entry in whole.items() if name.startswith("data/docker/builder/")}
    assert alone["data/docker/builder/page.dos"] == ("100644", b"one\r\n")
    assert alone["data/docker/builder/run.sh"] == ("100755", b"true\n")
    assert laid_out("absent") == {}


def check_out_submodule(site: Site, module: Path) -> None:
    """Push a submodule `data/html/module`, and have the server's checkout with it filled."""
    checkout = site.settings.source_dir
    git(site.sample.developer, "submodule", "--quiet", "add", str(module), "data/html/module")
    push(site, "Módulo")
    git(checkout, "pull", "-q")
    git(checkout, "submodule", "--quiet", "update", "--init")


def test_a_submodule_moves_with_the_commit_and_is_fetched_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    allow_local_submodules(site, monkeypatch)
    module = make_repository(site.sample.root / "remotes/module", {"page.php": "old"})
    developer, checkout = site.sample.developer, site.settings.source_dir
    check_out_submodule(site, module)
    (module / "page.php").write_text("new")
    git(module, "commit", "-qam", "Novo")
    git(developer / "data/html/module", "pull", "-q")
    push(site, "Módulo novo")
    site.deploy()
    assert (site.current / "html/module/page.php").read_text() == "new"
    assert not (site.current / "html/module/.git").exists()
    module.rename(site.sample.root / "gone")
    site.deploy()
    assert (site.current / "html/module/page.php").read_text() == "new"
    (checkout / "data/html/module/page.php").write_text("edited")
    with pytest.raises(PreflightError, match=r"is not clean(?s:.*)data/html/module"):
        site.deploy()


def test_a_submodule_that_cannot_be_fetched_is_refused_by_name(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    module = make_repository(site.sample.root / "remotes/module", {"page.php": "x"})
    developer = site.sample.developer
    git(developer, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(module), "data/html/module")
    push(site, "Módulo")
    live = site.current
    # As git itself: an address in the commit leads to no folder of this machine.
    with pytest.raises(SourceError, match=r"The submodule data/html/module is needed at .* transport 'file' not allow"):
        site.deploy()
    assert site.current == live
    checkout = site.settings.source_dir
    git(checkout, "config", "submodule.data/html/module.update", "none")
    site.deploy()
    assert list((site.current / "html/module").iterdir()) == []
    assert "whose update is none" in site.log()
    git(checkout, "config", "--unset", "submodule.data/html/module.update")
    git(checkout, "-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--init")
    site.deploy()
    assert (site.current / "html/module/page.php").read_text() == "x"


def test_a_submodule_that_a_deploy_has_fetched_can_be_checked_out(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    allow_local_submodules(site, monkeypatch)
    module = make_repository(site.sample.root / "remotes/module", {"page.php": "old"})
    git(site.sample.developer, "submodule", "--quiet", "add", str(module), "data/html/module")
    push(site, "Módulo")
    site.deploy()
    git(site.settings.source_dir, "submodule", "--quiet", "update", "--init")
    assert (site.settings.source_dir / "data/html/module/page.php").read_text() == "old"
    site.deploy()


def test_a_submodule_is_fetched_from_its_address_alone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    allow_local_submodules(site, monkeypatch)
    module = make_repository(site.sample.root / "remotes/module", {"page.php": "old"})
    developer, checkout = site.sample.developer, site.settings.source_dir
    check_out_submodule(site, module)
    # The submodule in the checkout still has the former address.
    module = module.rename(module.with_name("moved"))
    (module / "page.php").write_text("new")
    git(module, "commit", "-qam", "Novo")
    git(developer / "data/html/module", "pull", "-q", str(module))
    push(site, "Módulo novo")
    git(checkout, "config", "submodule.data/html/module.url", str(module))
    site.deploy()
    assert (site.current / "html/module/page.php").read_text() == "new"


def test_a_build_sees_no_credentials_whatever_the_name_of_a_submodule(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow_local_submodules(site, monkeypatch)
    names, remotes = ("a", "a/objects/b", "c/HEAD", "."), site.sample.root / "remotes"
    for number, name in enumerate(names):
        address = f"https://ana:s3cret@example.invalid/{number}.git"
        module = make_repository(remotes / str(number), {"page.php": name})
        added = site.sample.developer / f"data/html/module-{number}"
        git(site.sample.developer, "clone", "-q", str(module), str(added))
        git(site.sample.developer, "add", f"data/html/{added.name}")
        for key, value in (("path", f"data/html/{added.name}"), ("url", address)):
            git(site.sample.developer, "config", "--file", ".gitmodules", f"submodule.{name}.{key}", value)
        git(remotes, "config", "--file", str(site.sample.root / "gitconfig"), f"url.{module}.insteadOf", address)
    push(site, "Módulos")
    site.deploy()
    assert (site.current / "html/module-3/page.php").read_text() == "."
    grep = ["grep", "-rl", "s3cret", str(site.settings.work_dir / ".git")]
    assert subprocess.run(grep, capture_output=True, text=True, check=False).stdout == ""


@pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed (apt-get install git-lfs)")
def test_content_of_git_lfs_is_published_or_its_files_are_named(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    developer = site.sample.developer
    configuration = site.sample.root / "gitconfig"
    configuration.write_text("")
    # Not set up for all users: what git-lfs needs is told to git.
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(configuration))
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    git(developer, "lfs", "install", "--local")
    git(developer, "lfs", "track", "*.bin")
    (developer / "data/html/large.bin").write_bytes(bytes(range(256)) * 100)
    (developer / "data/html/about.txt").write_text("version https://git-lfs.github.com/spec/v1\n")
    git(developer, "config", "lfs.url", site.sample.remote.as_uri())
    push(site, "Grande")
    git(site.settings.source_dir, "config", "lfs.url", site.sample.remote.as_uri())
    site.deploy()
    assert (site.current / "html/large.bin").read_bytes() == bytes(range(256)) * 100
    live = site.current
    programs = site.sample.root / "programs"
    programs.mkdir()
    for name in ("git", "sh", "env", "ls", "cp", "mkdir", "cat", "touch", "find", "sed", "rm", "sleep"):
        (programs / name).symlink_to(f"/usr/bin/{name}")
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(SourceError, match=r"did not: data/html/large\.bin\. Install git-lfs"):
        site.deploy()
    assert site.current == live


def test_content_that_git_lfs_cannot_bring_leaves_the_checkout_clean(site: Site) -> None:
    git(site.sample.developer, "lfs", "install", "--local")
    git(site.sample.developer, "lfs", "track", "*.bin")
    git(site.sample.developer, "config", "lfs.url", site.sample.remote.as_uri())
    git(site.settings.source_dir, "config", "lfs.url", site.sample.remote.as_uri())
    git(site.settings.source_dir, "lfs", "install", "--local")
    for content in (b"first", b"second"):
        (site.sample.developer / "data/html/large.bin").write_bytes(content)
        push(site, "Grande")
        if content == b"first":
            site.deploy()
    store = site.sample.remote / "lfs/objects"
    store.rename(site.sample.root / "objects")
    for _ in range(2):
        with pytest.raises(SourceError, match=r"large\.bin"):
            site.deploy()
        assert git(site.settings.source_dir, "status", "--porcelain") == ""
        assert git(site.settings.source_dir, "stash", "list") == ""
        assert refusal(site.settings) == ""
    shutil.rmtree(store, ignore_errors=True)
    (site.sample.root / "objects").rename(store)
    site.deploy()
    assert (site.current / "html/large.bin").read_bytes() == b"second"


def test_files_that_have_not_changed_keep_their_mtime(site: Site) -> None:
    site.flags["dedupe"] = "off"
    site.deploy()
    before = {path: site.current.joinpath(path).stat().st_mtime_ns for path in ("html/index.php", "html/robots.txt")}
    sha = site.sample.commit({"data/html/robots.txt": "Allow: /"}, "Robots")
    site.deploy(ref=sha)
    assert site.current.joinpath("html/index.php").stat().st_mtime_ns == before["html/index.php"]
    assert site.current.joinpath("html/robots.txt").stat().st_mtime_ns > before["html/robots.txt"]


def test_a_build_sees_the_repository_at_its_commit(site: Site) -> None:
    site.flags |= {
        "install_command": "git describe --tags --dirty >data/html/described; git status --porcelain -uno >data/status",
        "build_commands": ["git symbolic-ref -q --short HEAD >data/html/branch || echo none >data/html/branch"],
        "asset_inputs": [],
    }
    git(site.sample.developer, "tag", "v7")
    git(site.sample.developer, "push", "-q", "origin", "v7")
    git(site.settings.source_dir, "fetch", "-q", "--tags")
    site.deploy()
    assert (site.current / "html/described").read_text() == "v7\n"
    assert (site.current / "html/branch").read_text() == "main\n"
    older = git(site.settings.source_dir, "rev-parse", "HEAD~1")
    git(site.settings.source_dir, "tag", "v6", older)
    site.deploy(ref=older)
    assert (site.current / "html/described").read_text() == "v6\n"
    assert (site.current / "html/branch").read_text() == "none\n"
    assert (site.current / "status").read_text() == ""


def test_a_checkout_that_is_a_worktree_of_another_is_deployed(site: Site) -> None:
    checkout = site.settings.source_dir
    main = checkout.with_name("main-clone")
    checkout.rename(main)
    git(main, "checkout", "-q", "--detach")
    git(main, "worktree", "add", "-q", str(checkout), "main")
    site.flags |= {"install_command": "git log -1 --format=%H > data/html/sha", "asset_inputs": []}
    assert site.deploy().commit == (site.current / "html/sha").read_text().strip()


def test_asset_inputs_that_fit_nothing_are_refused_and_one_of_them_is_named(site: Site) -> None:
    site.flags["asset_inputs"] = ["resources/**", "no/such/*.scss"]
    site.deploy()
    assert "asset_inputs: no file of the repository fits no/such/*.scss." in site.log("warning")
    site.flags["asset_inputs"] = ["no/such/*.scss"]
    with pytest.raises(GovmaError, match=r"no file of the repository fits no/such/\*\.scss") as refusal:
        site.deploy()
    assert refusal.value.exit_code == ExitCode.CONFIGURATION


def test_a_submodule_is_an_input_of_the_assets(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    allow_local_submodules(site, monkeypatch)
    module = make_repository(site.sample.root / "remotes/module", {"a.scss": "a{}"})
    developer = site.sample.developer
    git(developer, "submodule", "--quiet", "add", str(module), "resources/module")
    push(site, "Módulo")
    site.flags |= {"install_command": "cat resources/module/a.scss > data/html/module.css", "build_commands": []}
    site.deploy()
    # Git would move the submodule with the checkout, before its new commit is there.
    git(site.settings.source_dir, "submodule", "--quiet", "update", "--init")
    git(site.settings.source_dir, "config", "submodule.recurse", "true")
    (developer / "resources/module/a.scss").write_text("a{color:red}")
    git(developer / "resources/module", "commit", "-qam", "Outra cor")
    git(developer / "resources/module", "push", "-q", "origin", "HEAD:other")
    push(site, "Módulo novo")
    site.deploy()
    assert "install runs: resources/module/a.scss changed" in site.log()
