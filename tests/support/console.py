"""The terminal app driven by a test: keys in, what the screen shows out. Waits for conditions, never for times."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from textual.app import App
from textual.pilot import Pilot

from govma_console.tui.app import ConsoleApp
from govma_console.tui.background import Background
from govma_console.tui.main_screen import MainScreen
from govma_console.tui.panes.log_view import LogView
from govma_console.tui.panes.versions import VersionTable
from govma_core.settings import Settings
from tests.support.waiting import PATIENCE

T = TypeVar("T")
Scenario = Callable[["Driven"], Awaitable[None]]


class Driven:
    """One app under test."""

    def __init__(self, app: ConsoleApp, pilot: Pilot[int]) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def main(self) -> MainScreen:
        screen = self.app.screen_stack[0]
        assert isinstance(screen, MainScreen)
        return screen

    @property
    def at_main(self) -> bool:
        """Tell whether no dialog is open."""
        return len(self.app.screen_stack) == 1

    @property
    def table(self) -> VersionTable:
        return self.main.table

    @property
    def log(self) -> LogView:
        return self.main.log_pane.view

    @property
    def notes(self) -> list[str]:
        """Return the notifications that are shown."""
        return [note.message for note in self.app._notifications]

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def type(self, text: str) -> None:
        await self.press(*("space" if character == " " else character for character in text))

    async def until(self, condition: Callable[[], T | None], what: str, patience: float = PATIENCE) -> T:
        """Wait until the answer is true, and give it."""
        deadline = time.monotonic() + patience
        while True:
            answer = condition()
            if answer:
                await self.pilot.pause()
                return answer
            assert time.monotonic() < deadline, f"waited in vain for {what}; the screen shows\n{self.text()}"
            await asyncio.sleep(0.01)

    async def idle(self) -> None:
        """Wait until the app knows that no run goes on."""
        await self.until(
            lambda: self.main.snapshot.active is None and self.main.snapshot.holder is None, "the end of the run"
        )

    async def sees(self, text: str, patience: float = PATIENCE) -> None:
        """Wait until the screen shows a text."""
        await self.until(lambda: text in self.text(), repr(text), patience)

    def text(self) -> str:
        """Return what the screen shows."""
        return screen_text(self.app)


def screen_text(app: App[int]) -> str:
    """Return what an app's top screen shows, line by line."""
    return "\n".join(strip.text.rstrip() for strip in app.screen._compositor.render_strips())


def drive(
    settings: Settings,
    scenario: Scenario,
    *,
    size: tuple[int, int] = (80, 24),
    background: Background | None = None,
    notifications: bool = False,
) -> ConsoleApp:
    """Run a scenario on the app; the first state is there when it begins. Gives the app as it ended."""
    app = ConsoleApp(background or Background(settings), theme="govma-dark")

    async def run() -> None:
        async with app.run_test(size=size, notifications=notifications) as pilot:
            driven = Driven(app, pilot)
            await driven.until(lambda: driven.main.snapshot.at, "the first snapshot")
            await scenario(driven)

    asyncio.run(run())
    return app
