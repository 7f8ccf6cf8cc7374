"""What deploys over HTTP leave of the earlier versions, where each is followed by a prune."""

from __future__ import annotations

import subprocess
from pathlib import Path

from govma_core.versions.store import VersionStore
from tests.support.rights import as_root
from tests.support.sample import LEGACY_VERSION, create_sample
from tests.support.server import Server

_NOBODY = 65534


@as_root
def test_deploys_of_the_same_by_any_user_push_no_earlier_version_out(tmp_path: Path) -> None:
    """Guards the way back: a local user's `curl …/deploy` in a loop left nothing but copies of one commit."""
    site = create_sample(tmp_path / "site")
    with Server(site, prune_after_deploy=True, keep_versions=3) as server:

        def deploy() -> str:
            line = ["curl", "-sf", "-m", "60", f"{server.url}/deploy?wait=1"]
            subprocess.run(line, user=_NOBODY, group=_NOBODY, extra_groups=(), check=True, stdout=subprocess.PIPE)
            latest = server.runs.latest()
            assert latest is not None
            assert "65534" in latest.by + latest.origin or latest.by == "nobody"
            return latest.version

        first = deploy()
        site.commit({"data/html/second.php": "<?php"}, "Segundo")
        copies = [deploy() for _ in range(5)]
        assert len(set(copies)) == 5
        store = VersionStore(server.settings.versions_dir)
        assert store.pointer().version == copies[-1]
        there = {version.name for version in store.versions()}
        assert {LEGACY_VERSION, first} <= there
        assert there.isdisjoint(copies[:-1])
