"""What operators' commands and hooks are told about the run, as environment variables."""

from __future__ import annotations

from govma_core.operations.context import Context


def variables(context: Context, version: str = "", previous: str = "", commit: str = "") -> dict[str, str]:
    """Return the variables, documented in the README; what is not known (yet) is an empty text."""
    directory = context.settings.versions_dir
    return {
        "GOVMA_RUN": context.run_id,
        "GOVMA_OPERATION": context.operation,
        "GOVMA_BY": context.by,
        "GOVMA_ORIGIN": context.origin,
        "GOVMA_VERSIONS_DIR": str(directory),
        "GOVMA_VERSION": version,
        "GOVMA_VERSION_PATH": str(directory / version) if version else "",
        "GOVMA_PREVIOUS": previous,
        "GOVMA_COMMIT": commit,
    }
