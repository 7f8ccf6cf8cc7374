"""The command about what the assets of a version are made of: assets."""

from __future__ import annotations

import argparse
import dataclasses

from govma_console.cli.command import DETACH, OPTIONAL_VERSION, command, flag, follow_or_detach, show_message
from govma_console.config_option import effective
from govma_console.formats import duration
from govma_console.output import print_json, print_table, say
from govma_core.errors import RefusedError, UsageError
from govma_core.text.language import tr
from govma_core.versions.manifest import Manifest, ManifestStore, StepOrigin
from govma_core.versions.store import VersionStore


@command(
    "assets",
    tr("tell which steps of the build a version was made by, which were reused and why others ran"),
    OPTIONAL_VERSION,
    flag("--explain", tr("tell that (without another option it is done as well); without VERSION of the live one")),
    flag("--verify", tr("build the live version's assets again beside the site, and compare with what is recorded")),
    DETACH,
    examples=("govma-console assets", "govma-console assets --verify"),
)
def assets(options: argparse.Namespace) -> int:
    """Print where what each step made comes from; with --verify start a run that builds again and compares."""
    if options.verify:
        if options.version_name or options.explain:
            raise UsageError("--verify is about the live version, and explains nothing: leave the rest out.")
        return follow_or_detach(options, "verify-assets", {}, show_message)
    if options.detach:
        raise UsageError("Only --verify starts a run that could be left behind: leave --detach out.")
    settings = effective(options)
    store = VersionStore(settings.versions_dir)
    name = store.find(options.version_name).name if options.version_name else store.pointer().version
    manifest = ManifestStore(settings.state_dir).read(name) if name else None
    if manifest is None:
        raise RefusedError("It is not known how the assets of {version} were made.", version=name or tr("no version"))
    if options.json:
        steps = [dataclasses.asdict(step) for step in manifest.steps]
        print_json({"version": manifest.version, "assets": manifest.assets, "steps": steps})
    else:
        _print_steps(manifest)
    return 0


def _print_steps(manifest: Manifest) -> None:
    from govma_core.deploy.step_records import reason, unrecorded_sentence

    def origin(step: StepOrigin) -> str:
        return tr("reused from {run}", run=step.run) if step.run else tr("ran: {reason}", reason=reason(step))

    if not manifest.steps:
        say(tr("Nothing is recorded of the steps that made {version}.", version=manifest.version))
        return
    rows = [(step.name, "" if step.run else duration(step.seconds), origin(step)) for step in manifest.steps]
    print_table((tr("STEP"), tr("DURATION"), tr("WHERE IT COMES FROM")), rows, cut=(2,), right=(1,))
    for step in manifest.steps:
        if step.unrecorded:
            say(unrecorded_sentence(step))
