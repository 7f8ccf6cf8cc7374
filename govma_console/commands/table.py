"""The table of commands: name, what it does, arguments, and where its code is."""

from __future__ import annotations

from govma_console.commands.command import Command
from govma_console.commands.table_server import SERVER
from govma_console.commands.table_site import SITE

COMMANDS: tuple[Command, ...] = (*SITE, *SERVER)
