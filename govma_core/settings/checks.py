"""What the settings must be to one another before anything is emptied, chowned or renamed."""

from __future__ import annotations

from pathlib import Path

from govma_core.settings.model import Settings

_ROLES = (
    "source_dir", "versions_dir", "upload_dir", "image_dir", "node_modules_dir", "vendor_dir", "state_dir", "env_file",
)  # fmt: skip


def check_together(settings: Settings) -> list[str]:
    """Give a sentence for each combination that would destroy something or cannot work."""
    problems = []
    work = settings.work_dir
    if len(work.parts) < 3:
        problems.append(f"work_dir is {work}: it is emptied at each deploy, so it must be a directory of its own.")
    for role in _ROLES:
        path: Path | None = getattr(settings, role)
        if path is not None and (path == work or work in path.parents):
            problems.append(
                f"work_dir ({work}) is emptied at each deploy, but {role} ({path}) lies in it; "
                "give it a directory of its own."
            )
    for outer in (settings.versions_dir, settings.source_dir, settings.upload_dir, settings.node_modules_dir):
        if outer == work or outer in work.parents:
            problems.append(f"work_dir ({work}) must not lie in {outer}.")
    if settings.versions_dir in settings.state_dir.parents or settings.versions_dir == settings.state_dir:
        problems.append(
            f"state_dir ({settings.state_dir}) must not lie in versions_dir ({settings.versions_dir}): "
            "the web server can write there."
        )
    if settings.source_dir in (settings.versions_dir, settings.upload_dir):
        problems.append(f"source_dir ({settings.source_dir}) must be a directory of its own.")
    for name in ("remote", "branch"):
        value = getattr(settings, name)
        if not value or value.startswith("-"):
            problems.append(f"{name} is {value!r}; it must be a name that git knows.")
    if not settings.all_build_commands:
        problems.append("install_command and build_commands are both empty; there is nothing to build with.")
    return problems
