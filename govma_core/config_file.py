"""Where the settings file is."""

from __future__ import annotations

from pathlib import Path

DEFAULT_FILE = Path("/etc/govma-console.toml")
CONFIG_VARIABLE = "GOVMA_CONFIG"
