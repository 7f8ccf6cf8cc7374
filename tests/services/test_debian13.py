"""Debian 13's engine and version 2 of compose, images in containerd's store: restarts of containers, and a build."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from govma_core.errors import RestartError
from tests.support.command import Command
from tests.support.debian13 import CONTAINERD_STORE, engine_of_debian_13
from tests.support.engine import EngineUnavailableError
from tests.support.images import ImageUnavailableError, busybox_image, busybox_tag
from tests.support.rights import passable
from tests.support.sample import create_sample, set_commands
from tests.support.stack import Stack, dockerfile, stack

pytestmark = [pytest.mark.slow, pytest.mark.each_debian, pytest.mark.engine, pytest.mark.timeout(600)]


@pytest.fixture(scope="module", name="site")
def _site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    root = passable(tmp_path_factory.mktemp("stack"))
    try:
        with engine_of_debian_13(CONTAINERD_STORE) as engine, busybox_image(engine), stack(root, engine) as site:
            yield site
    except (EngineUnavailableError, ImageUnavailableError) as error:
        pytest.skip(str(error))


def test_an_image_whose_name_went_to_a_bad_build_is_there_again(site: Stack) -> None:
    """Guards the way back where an image without a name is gone: compose removed the container, the build the image."""
    image, page = site.image(), site.page()
    with site.engine.client() as client:
        tagged = client.images.get(image).id
    path = site.directory / "docker/apache/Dockerfile"
    before = path.read_text()
    path.write_text(dockerfile("bad", "RUN echo 'sleep 0.2; exit 3' > /start"))
    with pytest.raises(RestartError, match="The former containers are back; the site did not answer for"):
        site.up("apache")
    assert (site.page(), site.answers()) == (page, True)
    path.write_text(before)
    with site.engine.client() as client:
        assert client.images.get(image).id == tagged
        # Nothing that was kept for the way back is left.
        assert client.images.list("govma-former") == []
        assert client.containers.list(all=True, filters={"label": f"govma-console.former={site.project}"}) == []


def test_after_a_good_build_the_former_image_is_kept_no_longer(site: Stack) -> None:
    path = site.directory / "docker/apache/Dockerfile"
    path.write_text(dockerfile("two"))
    site.up("apache")
    assert (site.page(), site.answers()) == ("two", True)
    with site.engine.client() as client:
        assert client.images.list("govma-former") == []


def test_a_version_is_built_in_a_container(site: Stack, tmp_path: Path) -> None:
    sample = create_sample(tmp_path / "built", builder="docker", base_image=busybox_tag())
    set_commands(sample, "echo built >data/html/built.txt")
    command = Command(sample.config_file, sample.state_dir)
    for _ in range(2):
        result = command.run("deploy", "--rebuild")
        assert result.code == 0, result.err
        assert (sample.versions_dir / "current-version/html/built.txt").read_text() == "built\n"
    with site.engine.client() as client:
        label = f"govma-console.site={sample.versions_dir}"
        assert client.containers.list(all=True, filters={"label": label}) == []
