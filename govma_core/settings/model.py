"""Every setting with its default, its environment variable and what it means; the one table all else is made from."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from govma_core.settings import build_steps, validate
from govma_core.settings.build_steps import BuildStep
from govma_core.settings.validate import PageCheck
from govma_core.text.language import tr
from govma_core.text.times import age_seconds


def _setting(default: Any, doc: str, env: str | None = None, **more: Any) -> Any:  # noqa: ANN401
    return dataclasses.field(default=default, metadata={"doc": doc, "env": env, **more})


_HOME = Path("/home/app")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an operation works with. Paths are absolute; defaults are the operators' layout below /home/app."""

    source_dir: Path = _setting(
        _HOME / "build-env/gov-tech__ma", tr("clean git checkout of the site"), "GOV_MA_GIT_SRC_DIR"
    )
    versions_dir: Path = _setting(
        _HOME / "www_versions", tr("directory of all versions and of current-version"), "GOV_MA_SERVER_BASE_DIR"
    )
    upload_dir: Path = _setting(
        _HOME / "persistent-storage/upload-dir",
        tr("persistent uploads, outside the versions"),
        "GOV_MA_UPLOAD_DIR",
    )
    image_dir: Path | None = _setting(
        _HOME / "persistent-storage/images-dir",
        tr("persistent private uploads; empty or absent: images stay in the version"),
        "GOV_MA_IMAGE_DIR",
    )
    node_modules_dir: Path = _setting(
        _HOME / "build-env/gov_ma_node_modules", tr("node_modules kept between builds"), "NODE_MODULES_CACHE_DIR"
    )
    env_file: Path = _setting(
        _HOME / "gov_ma_user_envfile",
        tr("file with the CMS's secret settings, copied into each version"),
        "GOV_MA_USER_ENV_FILE",
    )
    work_dir: Path = _setting(
        _HOME / "build-env/tmp-build", tr("where a version is built; emptied at each start"), "GOV_MA_WORK_DIR"
    )
    vendor_dir: Path = _setting(_HOME / "ci/vendor", tr("directory of the vendor tarballs"), "GOVMA_VENDOR_DIR")
    ee_tarball: str = _setting(
        "ee.6.0.6.patched-v2.tar.gz",
        tr("tarball with ee/, unpacked into data/system"),
        "GOVMA_EE_TARBALL",
        check=validate.require_file_name,
    )
    themes_tarball: str = _setting(
        "themes.tar.gz",
        tr("tarball with themes/, unpacked into data/html"),
        "GOVMA_THEMES_TARBALL",
        check=validate.require_file_name,
    )
    state_dir: Path = _setting(
        Path("/var/lib/govma-console"), tr("run records, history, manifests, asset cache"), "GOVMA_STATE_DIR"
    )
    language: str = _setting(
        "",
        tr(
            "language of the console, commands, logs and HTTP: en or pt_BR; empty: that of each user's locale "
            "(LANG). Set it, so that logs read the same whoever starts a run"
        ),
        "GOVMA_LANGUAGE",
        one_of=("", "en", "pt_BR"),
    )
    listen_addr: str = _setting("127.0.0.1:50024", tr("address of the HTTP server"), "LISTEN_ADDR")

    queue: str = _setting(
        "coalesce",
        tr("a deploy over HTTP while one is going: coalesce (those who wait share one), each (one for each), reject"),
        one_of=("coalesce", "each", "reject"),
    )
    max_waiting: int = _setting(10, tr("deploys that may wait for their turn"), low=1)
    unix_socket: Path | None = _setting(
        Path("/run/govma-console.sock"),
        tr("socket of the HTTP server for users who may change everything; empty: none"),
    )
    unix_group: str = _setting("", tr("group that may change everything over unix_socket, besides root"))
    token_file: Path | None = _setting(
        Path("/etc/govma-console.tokens"),
        tr("file of the tokens that may change everything over HTTP; `token` adds one"),
    )
    hook_secret_file: Path | None = _setting(
        Path("/etc/govma-console.hook-secret"),
        tr("file with the secret shared with the git server whose push starts a deploy"),
    )
    hook_if_new: bool = _setting(
        True, tr("a push to a hook makes nothing when the live version was made from the same (`deploy --if-new`)")
    )
    allowed_hosts: tuple[str, ...] = _setting((), tr("more host names that requests to the HTTP server may use"))
    allow_unauthenticated_remote: bool = _setting(
        False, tr("let anybody who can reach a listen_addr other than loopback deploy and read without a token")
    )
    requests_per_minute: int = _setting(600, tr("requests per minute the HTTP server answers to one caller"), low=1)
    max_streams: int = _setting(1000, tr("logs the HTTP server streams at the same time"), low=1)
    drain_timeout: int = _setting(
        900, tr("seconds a stopping HTTP server waits for its runs before it cancels them"), low=0
    )

    remote: str = _setting("origin", tr("git remote to fetch from"))
    branch: str = _setting("main", tr("branch to deploy"), "GOVMA_BRANCH")
    git_timeout: int = _setting(120, tr("seconds one git command may take"), low=1)

    builder: str = _setting(
        "docker",
        tr("docker (throwaway container) or local (this machine)"),
        "GOVMA_BUILDER",
        one_of=("docker", "local"),
    )
    builder_context: str = _setting(
        "docker/builder", tr("folder of the builder's Dockerfile in the repository"), check=validate.require_folder
    )
    builder_image: str = _setting("gov-ma-builder", tr("tag of the builder image"))
    install_command: str = _setting("npm install", tr("first command of the build"))
    build_commands: tuple[str, ...] = _setting(
        ("npm run build:docs", "npm run prod"), tr("commands that follow it, in order")
    )
    build_steps: tuple[BuildStep, ...] = _setting(
        (),
        tr(
            "the same as tables, in the place of build_commands: name, command, inputs (globs, or false for a step "
            "that always runs), after (steps before it; empty: it runs beside others)"
        ),
        table="build",
    )
    build_jobs: int = _setting(0, tr("steps of the build that may run at the same time; 0: as many as there are cores"))
    build_timeout: int = _setting(1800, tr("seconds one step of the build may take"), low=1)
    build_memory: str = _setting(
        "", tr("memory limit of each builder container, such as 2g; empty: none"), check=validate.require_size
    )
    build_cpus: float = _setting(0.0, tr("cores each builder container may use; 0: all"), low=0)
    log_group: str = _setting(
        "", tr("group that may read runs and their logs, besides the user who deploys; empty: none")
    )
    log_limit: int = _setting(512, tr("MiB to keep of one run's log"), low=1)

    asset_inputs: tuple[str, ...] = _setting(
        (),
        tr(
            '"auto": what a step of the build made is reused while the files that it opened, and the names around '
            "them, are the same; globs: while the files that fit are; empty: every deploy builds everything"
        ),
        word="auto",
        check=validate.require_glob,
    )
    asset_cache_keep: int = _setting(5, tr("builds kept in the asset cache, about"), low=1)

    dedupe: str = _setting(
        "publish",
        tr("publish: link a new version to the live one; all: also dedupe all versions after a deploy; off"),
        one_of=("off", "publish", "all"),
    )
    reflink: str = _setting(
        "auto",
        tr("share blocks instead of inodes: auto (where the file system can), always (or refuse), never"),
        one_of=("auto", "always", "never"),
    )
    keep_single: tuple[str, ...] = _setting(
        (
            "system/user/config/**",
            "system/user/templates/**",
            "system/user/cache/**",
            "system/user/zip_cache/**",
            "html/.htaccess",
            ".env",
        ),
        tr(
            "globs of files that the CMS writes in place: in the live version they are never shared with another "
            "version"
        ),
        check=validate.require_glob,
    )
    keep_versions: int = _setting(
        5, tr("how many good versions prune keeps: the latest that differ in what they were made from"), low=1
    )
    keep_younger: str = _setting(
        "", tr("prune keeps versions younger than this, such as 30d or 12h; empty: none"), check=age_seconds
    )
    prune_after_deploy: bool = _setting(False, tr("prune after each successful deploy"))

    uploads_policy: str = _setting(
        "keep",
        tr("keep: a file people replaced stays; overwrite: the repository wins"),
        one_of=("keep", "overwrite"),
    )
    web_uid: int = _setting(33, tr("owner of versions and uploads"), low=0)
    web_gid: int = _setting(33, tr("group of versions and uploads"), low=0)
    build_uid: int = _setting(1000, tr("user that runs the build"), low=1)
    build_gid: int = _setting(1000, tr("group that runs the build"), low=1)
    keep_runs: int = _setting(200, tr("run records kept"), low=1)

    hooks_dir: Path | None = _setting(
        Path("/etc/govma-console.hooks"),
        tr("directory of pre-build, pre-promote, post-promote, on-failure; empty: none"),
    )
    hook_timeout: int = _setting(300, tr("seconds one hook may take"), low=1)

    rehearsal_image: str = _setting("", tr("image of the web container to test a new version in"), table="rehearsal")
    rehearsal_like: str = _setting(
        "",
        tr("compose service or container to imitate when testing the new version"),
        table="rehearsal",
    )
    rehearsal_command: str = _setting(
        "", tr("command on this machine that tests the version in $1 instead; its exit code decides"), table="rehearsal"
    )
    rehearsal_mount: str = _setting(
        "/var/www/versions",
        tr("where the image looks for current-version"),
        table="rehearsal",
        check=validate.require_container_path,
    )
    rehearsal_port: int = _setting(80, tr("port on which the container answers"), low=1, high=65535, table="rehearsal")
    rehearsal_writable: tuple[str, ...] = _setting(
        ("system/user/cache", "system/user/config", "system/user/templates"),
        tr("directories of the version that may be written during the test, in copies thrown away afterwards"),
        table="rehearsal",
        check=validate.require_inside,
    )
    rehearsal_scratch: tuple[str, ...] = _setting(
        ("/var/log",),
        tr("directories left empty and writable in the test container instead of being mounted as in the running one"),
        table="rehearsal",
        check=validate.require_container_path,
    )
    rehearsal_timeout: int = _setting(
        60, tr("seconds within which the container has to answer"), low=1, table="rehearsal"
    )
    rehearsal_checks: tuple[PageCheck, ...] = _setting((), tr("pages to check; empty: 200 at /"), table="rehearsal")

    activation_containers: tuple[str, ...] = _setting(
        (), tr("containers that serve the site: compose services, names, or label=value"), table="activation"
    )
    activation_reload: str = _setting(
        "apachectl -k graceful", tr("command to run in each of them after the switch; empty: none"), table="activation"
    )
    activation_command: str = _setting("", tr("command to run on this machine after the switch"), table="activation")
    activation_url: str = _setting(
        "",
        tr("URL of the site, such as http://127.0.0.1:8080; empty: ask each container directly"),
        table="activation",
        check=validate.require_url,
    )
    activation_host: str = _setting("", tr("Host header to send; empty: that of the address"), table="activation")
    activation_port: int = _setting(
        80, tr("port on which the containers answer"), low=1, high=65535, table="activation"
    )
    activation_proof_path: str = _setting(
        "",
        tr("page that contains the name of its version; empty: a probe is put into html/ and removed again"),
        table="activation",
        check=validate.require_url_path,
    )
    activation_timeout: int = _setting(
        30, tr("seconds within which the new version has to be served"), low=1, table="activation"
    )
    activation_on_unproved: str = _setting(
        "warn",
        tr("when this is not proved: warn (it stays live, exit code 6) or revert"),
        one_of=("warn", "revert"),
        table="activation",
    )
    activation_checks: tuple[PageCheck, ...] = _setting(
        (), tr("pages to check on the site after the switch"), table="activation"
    )
    activation_on_failure: str = _setting(
        "revert",
        tr("when a check fails that passed before the switch: revert or warn"),
        one_of=("revert", "warn"),
        table="activation",
    )

    services_compose_dir: Path | None = _setting(
        _HOME / "prod-env", tr("compose project of the site's containers; empty: none"), table="services"
    )
    services_project: str = _setting("", tr("project name; empty: what compose calls it"), table="services")
    services_storage_dir: Path | None = _setting(
        _HOME / "persistent-storage",
        tr("directories of persistent data whose owners are checked; empty: none"),
        table="services",
    )
    services_probe_url: str = _setting(
        "",
        tr("URL on this machine to watch while containers are restarted; empty: a published port"),
        table="services",
        check=validate.require_url,
    )
    services_up_timeout: int = _setting(
        120, tr("seconds a restarted container may take to become healthy"), low=1, table="services"
    )

    @property
    def web_owner(self) -> tuple[int, int]:
        """Return (uid, gid) of the web server."""
        return self.web_uid, self.web_gid

    @property
    def build_owner(self) -> tuple[int, int]:
        """Return (uid, gid) of the build."""
        return self.build_uid, self.build_gid

    @property
    def rehearsed(self) -> bool:
        """Tell whether a version is tried before it goes live."""
        return bool(self.rehearsal_command or self.rehearsal_image or self.rehearsal_like)

    @property
    def activated(self) -> bool:
        """Tell whether those who serve the site are told of a switch."""
        return bool(self.activation_containers or self.activation_command or self.activation_url)

    @property
    def all_build_commands(self) -> tuple[str, ...]:
        """Return the install command and those of the steps, without empty ones, in order."""
        commands = (self.install_command, *(step.command for step in self.steps))
        return tuple(command for command in commands if command.strip())

    @property
    def steps(self) -> tuple[BuildStep, ...]:
        """Return the steps of the build that follow the install command."""
        return self.build_steps or build_steps.steps_of(self.build_commands)

    @property
    def ee_path(self) -> Path:
        """Return the path of the EE tarball."""
        return self.vendor_dir / self.ee_tarball

    @property
    def themes_path(self) -> Path:
        """Return the path of the themes tarball."""
        return self.vendor_dir / self.themes_tarball
