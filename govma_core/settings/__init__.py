"""Typed settings: the seed's defaults < TOML file < environment < flags."""

from govma_core.config_file import CONFIG_VARIABLE, DEFAULT_FILE
from govma_core.settings.load import LoadedSettings, load
from govma_core.settings.model import Settings
from govma_core.settings.parse import from_plain, to_plain

__all__ = ["CONFIG_VARIABLE", "DEFAULT_FILE", "LoadedSettings", "Settings", "from_plain", "load", "to_plain"]
