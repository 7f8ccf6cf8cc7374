"""`/api/v1/services`: the containers over HTTP; their output only for those who may change something."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.asking import bearer
from tests.support.engine import Engine
from tests.support.gates import make_token, shared_site
from tests.support.server import Server
from tests.support.stack import stack


def test_the_containers_are_told_without_values_and_their_output_only_to_those_with_a_token(
    tmp_path: Path, docker_engine: Engine, busybox_image: str
) -> None:
    """Guards the endpoint on a real project, and who may read what containers print."""
    assert busybox_image
    with stack(tmp_path, docker_engine) as site, Server(site.site.sample) as server:
        everybody = server.get("/api/v1/services")
        token = server.get("/api/v1/services", dict([bearer(make_token(server))]))
        assert (everybody.status, token.status) == (200, 200)
        report = json.loads(everybody.body)
        assert [each["name"] for each in report["services"]] == ["apache", "redis"]
        assert [each["lines"] for each in report["services"]] == [[], []]
        assert json.loads(token.body)["services"][0]["lines"] == ["started with ${DB_PASSWORD} ${REDIS_TOKEN}"]
        assert site.leaked(everybody.body.decode(), token.body.decode(), server.said()) == []


def test_without_a_project_that_is_said(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Guards the answer where there are no containers."""
    with Server(shared_site(tmp_path_factory, "alone")) as server:
        answer = server.get("/api/v1/services")
        assert answer.status == 200
        assert "is not there" in json.loads(answer.body)["problems"][0]
