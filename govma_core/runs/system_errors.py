"""The system's errors as sentences: what, in which stage, at which configured place, and what to do."""

from __future__ import annotations

import errno
import os

from govma_core.language import tr
from govma_core.settings import Settings

_PLACES = {
    "workdir": "work_dir",
    "assets": "work_dir",
    "vendor": "work_dir",
    "env": "work_dir",
    "ownership": "work_dir",
    "uploads": "upload_dir",
    "publish": "versions_dir",
    "promote": "versions_dir",
    "plan": "versions_dir",
    "remove": "versions_dir",
    "dedupe": "versions_dir",
}
"""Where each stage writes; all others write to the state directory only."""

_ADVICE = {
    errno.ENOSPC: tr("Free some space there (or inodes: df -i), then run it again."),
    errno.EDQUOT: tr("Free some space there, then run it again."),
    errno.EROFS: tr("Mount it for writing, then run it again."),
    errno.EACCES: tr("Run as root."),
    errno.EPERM: tr("Run as root, and look for immutable files there (lsattr)."),
}


def os_sentence(error: OSError, stage: str, settings: Settings) -> str:
    """Return the sentence for an error of the system that ended a run in this stage."""
    setting = _PLACES.get(stage, "state_dir")
    name = tr(", at {name!r}", name=os.fsdecode(error.filename)) if error.filename is not None else ""
    advice = _ADVICE.get(error.errno or 0, tr("Look at what is named here, then run it again."))
    where = tr("in {setting} ({place}){name}", setting=setting, place=getattr(settings, setting), name=name)
    return tr(
        "{stage} failed {where}: {strerror}. {advice}",
        stage=stage or tr("The start"),
        where=where,
        strerror=error.strerror or error,
        advice=advice,
    )
