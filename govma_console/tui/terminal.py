"""What the terminal can show, and how often it is written to."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING

from textual.drivers.linux_driver import LinuxDriver

from govma_core.process.proc import lineage

if TYPE_CHECKING:
    from textual.driver import Driver

# Each with what stands for it where there is only ASCII.
_PAIRS = """
    ●* ○o ◐% ✓+ ✗x ⚠! ★# ⏸| …~ │| ┃| ║| ▌| ▐| ▎| ▊| ▏| ▕| ─- ━- ═- ╸- ╺- —- –- →> ←< ↑^ ↓v ▲^ ▼v ▶> ◀< ›> ‹<
    »> «< ·. •* ×x ≥> ≤< █# ▓# ▒: ░. ▁_ ▂_ ▃- ▄- ▅= ▆= ▇# ▀# ▔- ▖. ▗. ▘' ▝' ╱/ ╲\\ “" ”" ‘' ’'
    ┌+ ┐+ └+ ┘+ ├+ ┤+ ┬+ ┴+ ┼+ ╭+ ╮+ ╰+ ╯+ ╔+ ╗+ ╚+ ╝+ ┏+ ┓+ ┗+ ┛+ ┣+ ┫+ ▉# ▋# ▍|
"""  # noqa: RUF001
_PLAIN = {pair[0]: pair[1] for pair in _PAIRS.split()}


class _Ascii(dict[int, str]):
    """A table for str.translate: every character that is not ASCII becomes ASCII of the same width."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if code < 128:
            return character
        wide = unicodedata.east_asian_width(character) in ("W", "F")
        base = unicodedata.normalize("NFKD", character)[0]
        plain = _PLAIN.get(character) or (base if base.isascii() and base.isprintable() else "")
        if unicodedata.combining(character):
            plain = ""
        elif wide:
            plain = "??"
        replacement = self[code] = plain or ("" if unicodedata.combining(character) else "?")
        return replacement


_ASCII = _Ascii()


def plain_text(text: str) -> str:
    """Return a text in ASCII, as wide as it was."""
    return text.translate(_ASCII)


class AsciiDriver(LinuxDriver):
    """A driver that lets nothing but ASCII out, whatever a widget, a theme or a log line holds."""

    def write(self, data: str) -> None:
        """Write data to the terminal."""
        super().write(data if data.isascii() else plain_text(data))


def driver_for(environment: Mapping[str, str]) -> type[Driver] | None:
    """Return the driver this terminal needs; None for textual's own choice."""
    return None if has_unicode(environment) else AsciiDriver


def has_unicode(environment: Mapping[str, str]) -> bool:
    """Tell whether the terminal's encoding is UTF-8, by the locale; GOVMA_ASCII=1 says no in any case."""
    if environment.get("GOVMA_ASCII", "0") not in ("", "0"):
        return False
    if environment.get("TERM", "").startswith(("vt1", "vt2", "dumb")):
        return False
    locale = next((environment[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if environment.get(name)), "")
    return not locale or "utf" in locale.lower()


def theme_for(environment: Mapping[str, str]) -> str:
    """Return the theme to begin with: 16 colours and NO_COLOR keep the terminal's own, the rest follows COLORFGBG."""
    # COLORFGBG is "foreground;background" (rxvt, konsole): 7 and 9 to 15 are light, 0 to 6 and 8 dark.
    background = environment.get("COLORFGBG", "").rpartition(";")[2]
    shade = "light" if background in ("7", "9", "10", "11", "12", "13", "14", "15") else "dark"
    few = environment.get("COLORTERM", "") not in ("truecolor", "24bit") and "256" not in environment.get("TERM", "")
    return f"ansi-{shade}" if few or "NO_COLOR" in environment else f"govma-{shade}"


def flush_seconds(environment: Mapping[str, str]) -> float:
    """Return how far apart the updates of a running log are: 4 a second, 2 over ssh."""
    return 0.5 if environment.get("SSH_CONNECTION") or (environment.get("SUDO_USER") and _below_sshd()) else 0.25


def _below_sshd() -> bool:
    """Tell whether an ssh server is among our ancestors: sudo takes its variables away."""
    return any(process.name.startswith("sshd") for process in lineage(os.getppid()))
