"""Where settings come from, and which combinations are refused before anything is emptied."""

from __future__ import annotations

from pathlib import Path

import pytest

from govma_core.errors import ConfigurationError
from govma_core.settings import Settings, from_plain, load, to_plain
from govma_core.settings.write import commented_file


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "govma-console.toml"
    path.write_text(text, "utf-8")
    return path


def test_without_anything_the_seeds_layout_holds() -> None:
    settings = load({}).settings
    assert settings.source_dir == Path("/home/app/build-env/gov-tech__ma")
    assert settings.work_dir == Path("/home/app/build-env/tmp-build")
    assert settings.versions_dir == Path("/home/app/www_versions")
    assert settings.upload_dir == Path("/home/app/persistent-storage/upload-dir")
    assert settings.env_file == Path("/home/app/gov_ma_user_envfile")
    assert settings.ee_path == Path("/home/app/ci/vendor/ee.6.0.6.patched-v2.tar.gz")


def test_environment_wins_over_file_and_flags_over_both(tmp_path: Path) -> None:
    file = write(tmp_path, 'work_dir = "/srv/file/work"\nbranch = "file"\nbuild_timeout = 5')
    environment = {"GOVMA_CONFIG": str(file), "GOV_MA_WORK_DIR": "/srv/env/work", "GOVMA_BRANCH": "env"}
    found = load(environment, flags={"branch": "flag"})
    assert (found.settings.work_dir, found.settings.branch, found.settings.build_timeout) == (
        Path("/srv/env/work"),
        "flag",
        5,
    )
    assert found.origins["work_dir"] == "$GOV_MA_WORK_DIR"
    assert found.origins["branch"] == "command line"
    assert found.origins["build_timeout"] == str(file)
    assert found.origins["remote"] == "default"


def test_every_environment_name_of_the_original_is_read() -> None:
    names = {
        "GOV_MA_GIT_SRC_DIR": "source_dir",
        "GOV_MA_SERVER_BASE_DIR": "versions_dir",
        "GOV_MA_UPLOAD_DIR": "upload_dir",
        "GOV_MA_IMAGE_DIR": "image_dir",
        "NODE_MODULES_CACHE_DIR": "node_modules_dir",
        "GOV_MA_USER_ENV_FILE": "env_file",
        "GOV_MA_WORK_DIR": "work_dir",
    }
    for variable, name in names.items():
        assert getattr(load({variable: "/srv/elsewhere/x"}).settings, name) == Path("/srv/elsewhere/x")


def test_an_empty_image_dir_leaves_images_in_the_tree() -> None:
    assert load({"GOV_MA_IMAGE_DIR": ""}).settings.image_dir is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('bracnh = "main"', "Did you mean branch?"),
        ('builder = "podman"', "not one of docker, local"),
        ('work_dir = "relative/path"', "not an absolute path"),
        ('work_dir = "/srv/../etc"', "without '..'"),
        ("build_timeout = 0", "0 is out of range; the least is 1"),
        ("build_timeout = -1", "-1 is out of range; the least is 1"),
        ("build_timeout = 1.5", "not a whole number"),
        ("build_cpus = nan", "out of range"),
        ('build_cpus = "two"', "is not a number"),
        ("web_uid = 4294967295", "out of range; the most is 4294967294"),
        ("rehearsal.port = 65536", "out of range; the most is 65535"),
        ('keep_younger = "soon"', "not an age"),
        ('keep_single = ["/etc"]', "not a glob over relative paths"),
        ('rehearsal.mount = ""', "absolute path in the container"),
        ('rehearsal.scratch = ["log"]', "absolute path in the container"),
        ('rehearsal.writable = ["../x"]', "directory below the version"),
        ('activation.url = "example"', "must be http"),
        ('activation.proof_path = "a b"', "must begin with /"),
        ('build_timeout = "long"', "not a whole number"),
        ("build_timeout = true", "not a whole number"),
        ('build_commands = "npm run prod"', "must be a list of texts"),
        ('ee_tarball = "../other.tar.gz"', "plain name"),
        ('builder_context = "/docker/builder"', "folder of the repository"),
        ('builder_context = "docker/../../x"', "folder of the repository"),
        ('build_memory = "lots"', "not a size"),
        ("branch = main", "not valid TOML"),
        ('branch = "--upload-pack=x"', "a name that git knows"),
        ("build_uid = 0", "out of range"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match="(?s)" + said.replace("?", r"\?").replace("..", r"\.\.")):
        load({}, file=write(tmp_path, text))


def test_a_byte_order_mark_is_no_part_of_the_first_setting(tmp_path: Path) -> None:
    assert load({}, file=write(tmp_path, '\ufeffbranch = "other"')).settings.branch == "other"


def test_a_file_that_is_not_in_utf_8_is_named_with_the_line(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_bytes("branch = 'main'\n# Configuração\n".encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"settings.toml is not in UTF-8 \(line 2\)"):
        load({}, file=file)


def test_every_problem_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load({"GOVMA_BUILDER": "x"}, file=write(tmp_path, 'unknwon = 1\nbranch = 2\nwork_dir = "w"'))
    assert len(str(raised.value).splitlines()) == 4


def test_a_file_that_is_named_and_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load({"GOVMA_CONFIG": str(tmp_path / "none.toml")})


@pytest.mark.parametrize(
    "work_dir",
    ["/", "/home", "/home/app", "/home/app/www_versions", "/home/app/www_versions/x", "/home/app/build-env",
     "/home/app/build-env/gov-tech__ma", "/home/app/build-env/gov-tech__ma/tmp", "/var/lib/govma-console",
     "/var/lib/govma-console/runs", "/home/app/persistent-storage/images-dir/x", "/home/app/ci/vendor/x"],
)  # fmt: skip
def test_a_work_dir_that_would_empty_something_else_is_refused(work_dir: str) -> None:
    with pytest.raises(ConfigurationError, match="work_dir"):
        load({"GOV_MA_WORK_DIR": work_dir})


@pytest.mark.parametrize("outer", ["www_versions", "persistent-storage/upload-dir", "build-env/gov_ma_node_modules"])
def test_a_state_dir_that_others_can_write_in_is_refused(outer: str) -> None:
    with pytest.raises(ConfigurationError, match="state_dir"):
        load({"GOVMA_STATE_DIR": f"/home/app/{outer}/state"})


def test_two_names_of_one_directory_do_not_pass_for_two(tmp_path: Path) -> None:
    (tmp_path / "versions").mkdir()
    (tmp_path / "other-name").symlink_to("versions")
    with pytest.raises(ConfigurationError, match="work_dir"):
        load(
            {
                "GOV_MA_SERVER_BASE_DIR": str(tmp_path / "versions"),
                "GOV_MA_WORK_DIR": str(tmp_path / "other-name/work"),
            }
        )


def test_settings_survive_json_and_toml(tmp_path: Path) -> None:
    settings = load(
        {"GOV_MA_IMAGE_DIR": ""}, flags={"asset_inputs": ["a/**", 'q"uote'], "build_cpus": 1.5, "branch": "maré"}
    ).settings
    assert from_plain(to_plain(settings)) == settings
    assert load({}, file=write(tmp_path, commented_file(to_plain(settings)))).settings == settings


def test_the_commented_file_changes_nothing(tmp_path: Path) -> None:
    assert load({}, file=write(tmp_path, commented_file({}))).settings == Settings()


def test_tables_are_read_printed_and_written_back(tmp_path: Path) -> None:
    """Guards `[rehearsal]` and `[activation]`: read by their table's name, in the written file after all others."""
    check = {"path": "/", "contains": "Notícias", "request_headers": {"X-Forwarded-Proto": "https"}}
    file = tmp_path / "settings.toml"
    file.write_text(
        'branch = "main"\n[rehearsal]\nimage = "web"\nchecks = [{path = "/", contains = "Notícias", '
        'request_headers = {X-Forwarded-Proto = "https"}}]\n'
        '[activation]\ncontainers = ["apache"]\n'
    )
    settings = load({}, file=file).settings
    assert settings.rehearsal_image == "web"
    assert [found.plain() for found in settings.rehearsal_checks] == [check]
    assert from_plain(to_plain(settings)) == settings
    written = tmp_path / "written.toml"
    written.write_text(commented_file({"branch": "x", "rehearsal_image": "web", "rehearsal_checks": [check]}))
    again = load({}, file=written).settings
    assert (again.branch, again.rehearsal_image, again.rehearsal_checks) == ("x", "web", settings.rehearsal_checks)


CHECK = "[rehearsal]\nimage = 'x'\nchecks = [{path = '/', request_headers ="


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[rehearsal]\nimages = 'x'", r"there is no setting 'rehearsal.images'. Did you mean rehearsal.image\?"),
        ("[rehersal]\nport = 80", r"there is no setting 'rehersal'. Did you mean \[rehearsal\]\?"),
        ("rehearsal_image = 'x'", r"there is no setting 'rehearsal_image'. Did you mean rehearsal.image\?"),
        ("rehearsal = 'x'", r"there is no setting 'rehearsal'. Did you mean \[rehearsal\]\?"),
        ("[[rehearsal]]\nimage = 'x'", r"there is no setting 'rehearsal'. Did you mean \[rehearsal\]\?"),
        ("[[rehersal]]\nport = 80", r"there is no setting 'rehersal'. Did you mean \[rehearsal\]\?"),
        ("[[checks]]\npath = '/'", r"'checks'. Did you mean rehearsal.checks or activation.checks\?"),
        ("[[rehearsal.check]]\npath = '/'", r"'rehearsal.check'. Did you mean rehearsal.checks\?"),
        ("[rehearsal]\nimage = 'x'\nlike = 'y'", "image and like exclude one another"),
        ("[rehearsal]\nchecks = [{path = '/'}]", "set rehearsal.image or like"),
        ("[rehearsal]\nchecks = [{status = 200}]", "must be a table with a path"),
        ("[rehearsal]\nchecks = [{path = 'x'}]", "must begin with /"),
        ("[rehearsal]\nchecks = [{path = '/', stauts = 200}]", "did you mean status"),
        ("[rehearsal]\nchecks = [{path = '/', status = '200'}]", "must be a number"),
        ("[rehearsal]\nchecks = [{path = '/', status = 99}]", "no status of HTTP"),
        ("[rehearsal]\nchecks = [{path = '/', timeout = 0}]", "timeout"),
        ('[rehearsal]\nchecks = [{path = "/", host = "a\\r\\nb"}]', "control characters"),
        ("[rehearsal]\nchecks = [{path = '/', contains = {Authorization = 'canary'}}]", "must be a text in quotes"),
        (f"{CHECK} 'Authorization: canary'}}]", "must be a table of texts, such as"),
        (f"{CHECK} {{Authorization = 'Basic canary'}}}}]", "Authorization may be a secret.* put it into env_file"),
        (f"{CHECK} {{X-Signature = 'canary'}}}}]", "X-Signature may be a secret"),
        (f"{CHECK} {{X-Session = 'canary'}}}}]", "X-Session may be a secret"),
        (
            f"{CHECK} {{Authorization = '$CANARY canary $'}}}}]",
            r"Authorization has a \$ before no variable name; write \$\$",
        ),
        (f"{CHECK} {{X-A = 1}}}}]", "must be a table of texts, such as"),
        (f"{CHECK} {{'X A' = 'canary'}}}}]", "'X A' is no name of a header"),
        (f"{CHECK} {{host = 'canary'}}}}]", "host cannot be given.* a check has `host`"),
        (f"{CHECK} {{Content-Length = '3'}}}}]", "Content-Length cannot be given"),
        (f"{CHECK} {{x-a = 'b', X-A = 'c'}}}}]", "x-a is given twice"),
        (f'{CHECK} {{X-A = "canary\\r\\nHost: x"}}}}]', "X-A of a check holds control characters"),
        ("[rehearsal]\nwritable = ['../etc']", "must be a directory below the version"),
        ("[rehearsal]\nmount = 'var'", "absolute path in the container"),
        ("[activation]\nurl = 'ftp://x'", "must be http:// or https://"),
        ("[activation]\nurl = 'http://x/path'", "must be http:// or https://"),
        ("[activation]\nchecks = [{path = '/'}]", "set activation.url or containers"),
        ("[activation]\non_unproved = 'maybe'", "not one of warn, revert"),
    ],
)
def test_wrong_tables_are_sentences(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=said) as told:
        load({}, file=file)
    assert "canary" not in str(told.value)
