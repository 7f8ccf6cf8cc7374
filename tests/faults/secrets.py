"""What stands in the env file, printed by a build and quoted by errors: looked for wherever something is written."""

from __future__ import annotations

import json
import os
import secrets
import sys
from pathlib import Path

from tests.faults.result import Result
from tests.support.command import Command
from tests.support.crashes import CrashSite


def sweep(folder: Path) -> Result:
    """Deploy with builds that print the secrets, end with them, and with an error that names one."""
    folder.chmod(0o755)
    site = CrashSite.make(folder / "site")
    words = [secrets.token_urlsafe(12) for _ in range(6)]
    settings = site.settings
    settings.env_file.write_text("".join(f"SECRET_{number}='{word}'\n" for number, word in enumerate(words)))
    command = Command(site.sample.config_file, settings.state_dir)
    site.flags["asset_inputs"] = []
    said = []
    for number, word in enumerate(words):
        ending = ("true", f"exit 3 # {word}", f"sh -c 'echo {word} >&2; kill -9 $$'")[number % 3]
        site.flags["install_command"] = f"printf 'a {word} b\\n{word}\\r\\nno end {word}'; {ending}"
        record, _, _ = site.run("none", "deploy")
        if "***" not in (site.store.path(record.id) / "events.jsonl").read_text():
            site.problems.append(f"the build of run {record.id} printed nothing that was masked")
    for line in (["config"], ["config", "--json"], ["log"], ["runs"], ["status", "--json"], ["list", "--json"]):
        done = command.run(*line)
        said.append(done.out + done.err)
    places = [text for text in said if any(word in text for word in words)]
    looked = 0
    for at, _, names in os.walk(settings.state_dir):
        for name in names:
            path = Path(at, name)
            text = "" if path.is_symlink() else path.read_bytes().decode("latin-1")
            if name == "run.json":
                # The settings of a run hold its commands: here, and only here, the test put the secrets into them.
                text = str({key: value for key, value in json.loads(text).items() if key != "settings"})
            looked += 1
            if any(word in text for word in words):
                places.append(str(path))
    site.problems += [f"a secret is in {place[:200]}" for place in places]
    for problem in site.problems[:20]:
        print(f"  {problem}", file=sys.stderr)
    return Result(
        "values of the env file printed by builds that go well, fail and are killed",
        f"{len(words)} builds",
        f"looked for in {looked} files and {len(said)} commands",
        len(site.problems),
        looked,
    )
