"""A build that tries everything it can leave behind; after each, nothing outside was reached and the site is whole."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from govma_core.errors import GovmaError
from govma_core.runs.runner import os_sentence
from tests.faults.result import Result
from tests.support import hostile_build
from tests.support.canary import Canary
from tests.support.crashes import at_work_below, files_of
from tests.support.sites import Site, make_site

_PYTHON = "/usr/bin/python3"
_PLAIN = {"docs": "sh tools/build.sh docs", "prod": "sh tools/build.sh prod"}


def sweep(folder: Path, cases: Sequence[str] = hostile_build.CASES) -> Result:
    """Deploy with each of the cases in the build, and after each once more without."""
    began = time.monotonic()
    trial = Trial(folder)
    for case in cases:
        trial.attempt(case)
    for problem in trial.problems[:20]:
        print(f"  {problem}", file=sys.stderr)
    return Result(
        "a hostile build; then a canary outside (owner, mode, content, mtime) and the site are looked at",
        f"{len(cases)} inputs",
        f"{trial.refused} refused with a sentence, {trial.harmless} harmless; {time.monotonic() - began:.0f} s",
        len(trial.problems),
        trial.acted,
    )


class Trial:
    """A site, a canary beside it, and what went wrong so far."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o755)
        self.site: Site = make_site(folder / "site", files=10, vendor_files=12)
        self.script = folder / "hostile.py"
        shutil.copy(hostile_build.__file__, self.script)
        self.script.chmod(0o644)
        self.canary = Canary(folder / "canary")
        self.lent = folder / "lent"
        self.lent.mkdir()
        os.chown(self.lent, 1000, 1000)
        self.people = files_of(self.site.settings.upload_dir)
        self.problems: list[str] = []
        self.refused = self.harmless = self.acted = 0

    def attempt(self, case: str) -> None:
        """Deploy with the case, look, and deploy without it."""
        before = self.site.current.name
        (self.lent / "root").write_text(self.canary.private)
        (self.lent / "root").chmod(0o600)
        self._build(_PLAIN | {"hostile": f"{_PYTHON} {self.script} {case} {self.canary.root}"})
        try:
            self.site.deploy(force=True)
            self.harmless += 1
        except GovmaError as error:
            self.refused += 1
            self._expect(case, str(error).strip().endswith((".", ")", "…")) or "\n" in str(error), f"said {error}")
        except OSError as error:
            self.refused += 1
            self._expect(case, bool(os_sentence(error, "assets", self.site.settings)), f"raised {error!r}")
        except Exception as error:
            self.problems.append(f"{case}: a fault of ours, {error!r}")
        acted = hostile_build.DONE in self.site.log()
        self.acted += acted
        self._expect(case, acted, "was not acted out")
        self._look(case)
        if self.site.current.name != before:
            self.site.rollback(before)
        self._build(_PLAIN)
        try:
            # The rollback above holds this commit.
            self.site.deploy(force=True)
        except (GovmaError, OSError) as error:
            self.problems.append(f"{case}: the next deploy failed: {error}")
        self._look(case)

    def _build(self, commands: Mapping[str, str]) -> None:
        """Set steps that need nothing of each other: each has a tree of its own, and is watched and recorded."""
        steps = [{"name": name, "command": command, "after": []} for name, command in commands.items()]
        self.site.flags = {"asset_inputs": "auto", "install_command": "", "build_steps": steps}

    def _look(self, case: str) -> None:
        settings = self.site.settings
        self.problems += [f"{case}: changed {path}" for path in self.canary.changes()]
        stolen = self.canary.found_in(settings.versions_dir, settings.upload_dir, settings.state_dir)
        # What the build owns and may read it may publish, and have recorded, which is by its hash.
        own = {hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in stolen if path.endswith("stolen.css")}
        others = [path for path in stolen if not path.endswith("stolen.css") and Path(path).name not in own]
        self.problems += [f"{case}: read into {path}" for path in others]
        left = at_work_below(self.site.sample.root, settings.build_uid)
        self._expect(case, not left, f"left processes: {left}")
        people = files_of(settings.upload_dir)
        lost = [path for path, digest in self.people.items() if people.get(path) != digest]
        self._expect(case, not lost, f"lost uploads: {lost}")
        names = os.listdir(settings.versions_dir)
        self._expect(case, not [name for name in names if name.startswith(".")], f"left {names}")
        line = ["find", str(self.site.current), "-perm", "-o+w", "!", "-type", "l"]
        writable = subprocess.run(line, capture_output=True, text=True, errors="replace", check=True).stdout
        self._expect(case, not writable, f"everybody may write {writable[:200]}")
        self._expect(case, (self.site.current / "html").is_dir(), "nothing whole is live")

    def _expect(self, case: str, good: bool, what: str) -> None:
        if not good:
            self.problems.append(f"{case}: {what}")
