"""The commands, in the order in which the help lists them."""

from govma_console.cli.assets import assets
from govma_console.cli.command import Command
from govma_console.cli.completion import completion
from govma_console.cli.demo import demo
from govma_console.cli.deploy import check, deploy, pending, promote, rollback
from govma_console.cli.disk import dedupe, usage, verify
from govma_console.cli.doctor import doctor
from govma_console.cli.holds import history, hold, release
from govma_console.cli.prune import pin, prune, unpin
from govma_console.cli.runs import attach, cancel, list_runs, log
from govma_console.cli.server import token, units
from govma_console.cli.services import services
from govma_console.cli.settings import config, init
from govma_console.cli.trigger import trigger
from govma_console.cli.versions import list_versions, status

_RELEASES = (deploy, promote, rollback, check, hold, release, history)
_VERSIONS_AND_RUNS = (list_versions, usage, status, pending, list_runs, log)
_DISK = (prune, dedupe, verify, assets, pin, unpin)
_MACHINE = (services, attach, cancel, trigger, token, units, config, init, doctor, completion, demo)

COMMANDS: tuple[Command, ...] = (*_RELEASES, *_VERSIONS_AND_RUNS, *_DISK, *_MACHINE)
