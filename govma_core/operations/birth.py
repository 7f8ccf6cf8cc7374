"""The last step before a version is published: its files are linked to those of earlier versions, and taken down."""

from __future__ import annotations

import time
from contextlib import ExitStack

from govma_core import safefs
from govma_core.disk.birth import Born, link_tree
from govma_core.disk.contents import ContentsStore
from govma_core.errors import GovmaError
from govma_core.globs import globs
from govma_core.operations.context import Context
from govma_core.text import bytes_text

_MOST = 10
"""Earlier versions in which an equal file is looked for."""


def prepare(context: Context, name: str, tree_fd: int) -> None:
    """Link the tree that is to be the version `name` to the live version and those before, unless dedupe is off.

    What is in it is written to the contents record. Neither can make the deploy fail: it is published as it is then.
    """
    began = time.monotonic()
    try:
        born = _link(context, tree_fd)
        ContentsStore(context.settings.state_dir).write(name, born.files)
    except (OSError, GovmaError) as error:
        context.reporter.warning(f"Linking the new version to the others stopped: {error}. It is published without.")
        return
    if born.linked:
        context.reporter.info(
            f"{born.linked} of {len(born.files)} files linked to equal ones of earlier versions: "
            f"{bytes_text(born.saved)} saved, {time.monotonic() - began:.2f} s"
        )


def _link(context: Context, tree_fd: int) -> Born:
    with ExitStack() as stack:
        others = []
        if context.settings.dedupe != "off":
            versions = stack.enter_context(safefs.opened_root(context.settings.versions_dir))
            others = [stack.enter_context(safefs.opened(versions, name)) for name in _others(context)]
        single = globs(context.settings.keep_single)
        return link_tree(tree_fd, others, single, context.reporter.cancellation.check)


def _others(context: Context) -> list[str]:
    """Give the versions to link to: the live one first, then the latest."""
    live = context.versions.pointer().version
    names = [version.name for version in context.versions.versions() if version.name != live]
    return ([live] if live else []) + names[:_MOST]
