"""How programs are waited for."""

from __future__ import annotations

TICK = 0.25
"""Seconds one waits for output at a time; a request from another thread is noticed that late at most."""

CHUNK = 64 * 1024
"""Bytes that are read at a time."""
