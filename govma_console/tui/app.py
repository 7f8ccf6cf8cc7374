"""The app: its main screen, its themes, and how it ends after a fault."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import App, SystemCommand
from textual.markup import escape
from textual.screen import Screen
from textual.theme import Theme

from govma_console.output import hinted
from govma_console.tui.actions import ACTIONS
from govma_console.tui.background import Background
from govma_console.tui.main_screen import MainScreen
from govma_console.tui.terminal import driver_for, theme_for
from govma_core.text.language import tr

if TYPE_CHECKING:
    from textual.types import CSSPathType

_THEMES = (
    Theme(
        name="govma-dark",
        primary="#6ea8fe",
        secondary="#8bb9a8",
        accent="#e0af68",
        warning="#e0af68",
        error="#f7768e",
        success="#8fce72",
        foreground="#d5d9e2",
        background="#14171e",
        surface="#191d26",
        panel="#232936",
        dark=True,
    ),
    Theme(
        name="govma-light",
        primary="#1f5fbf",
        secondary="#3b7d68",
        accent="#9a5b00",
        warning="#9a5b00",
        error="#b3202f",
        success="#2d7a1f",
        foreground="#1d2330",
        background="#f4f5f7",
        surface="#ffffff",
        panel="#e4e8ef",
        dark=False,
    ),
)


# Of remarks, of what is not available, of borders, of the cursor's line without the focus, of selected lines.
_OWN_COLOURS = ("muted", "disabled", "edge", "resting", "chosen")
_OWN_COLOURS_OF = {
    "dark": ("#8d96a8", "#596273", "#3a4254", "#2b3242", "#2b3a55"),
    "light": ("#5d6678", "#a3aab8", "#b9c0cc", "#d9dee7", "#c9d9f2"),
    "ansi": ("ansi_default", "ansi_bright_black", "ansi_bright_black", "ansi_default", "ansi_default"),
}


class ConsoleApp(App[int]):
    """The terminal app over one site."""

    TITLE = "govma-console"
    CSS_PATH: ClassVar[CSSPathType | None] = "console.tcss"
    ENABLE_COMMAND_PALETTE = True

    def __init__(self, background: Background, *, theme: str | None = None) -> None:
        chosen = theme or theme_for(os.environ)
        # Passed to the constructor: it decides whether NO_COLOR means shades of grey or no colour at all.
        super().__init__(driver_class=driver_for(os.environ), ansi_color=chosen.startswith("ansi-") or None)
        # Animations cost bytes on a slow line, and delay reading.
        self.animation_level = "none"
        self.background = background
        for own in _THEMES:
            self.register_theme(own)
        self.theme = chosen
        self.fault = ""

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Return the colours that themes of textual do not have."""
        theme = self.current_theme
        shade = "ansi" if theme.ansi else "dark" if theme.dark else "light"
        return dict(zip(_OWN_COLOURS, _OWN_COLOURS_OF[shade], strict=True))

    def notify(self, message: str, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as in the base class
        """Show a notification; commands in it name the settings file of this site."""
        super().notify(hinted(message), *args, **options)

    def get_default_screen(self) -> Screen[None]:
        """Return the main screen."""
        return MainScreen(self.background)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Yield every action of the registry for the command palette, with the reason when it is not available."""
        if isinstance(screen, MainScreen):
            situation = screen.situation
            for action in ACTIONS:
                reason = action.reason(situation)
                text = tr("not now: {reason}", reason=reason) if reason else action.help
                # The palette takes it for markup: `[rehearsal]` would vanish.
                yield SystemCommand(
                    f"{action.label} ({action.shown_key})",
                    escape(text),
                    lambda action_id=action.id: screen.action_carry_out(action_id),
                )
            yield SystemCommand(tr("Theme …"), tr("Choose a theme"), self.action_change_theme)

    async def action_quit(self) -> None:
        """Quit as the action of the registry does; called for textual's own key."""
        main = next((screen for screen in self.screen_stack if isinstance(screen, MainScreen)), None)
        if main is not None:
            main.action_carry_out("quit")

    def on_unmount(self) -> None:
        """Stop watching."""
        self.background.end()

    def _handle_exception(self, error: Exception) -> None:
        """Leave with a sentence; the traceback goes to a file."""
        where = self._write_traceback(error)
        self.fault = tr(
            "This is a fault of govma-console ({name}: {error}); please report it{where}.",
            name=type(error).__name__,
            error=error,
            where=where,
        )
        self._return_code = 1
        if self._exception is None:
            self._exception = error
            self._exception_event.set()
        self._close_messages_no_wait()

    def _write_traceback(self, error: Exception) -> str:
        text = "".join(traceback.format_exception(error))
        for folder in (self.background.settings.state_dir, Path.home() / ".cache"):
            path = folder / "govma-console.err"
            try:
                fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            except OSError:
                continue
            with os.fdopen(fd, "w", encoding="utf-8", errors="replace") as file:
                file.write(text)
            return tr(" with {path}", path=path)
        return ""
