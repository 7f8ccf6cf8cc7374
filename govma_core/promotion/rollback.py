"""Rollback: back to the version that was live before, or to a named one.

Without a name it leads to what is different: not to an earlier version that was made from the same as the live one.

The rule: what a rollback leaves is bad. Before the switch it is marked, and deploys of its commit are held, so that the
next deploy does not put it live again (`keep_mark` leaves both out); the mark and the hold are taken back when the
switch does not happen. Behind the switch nothing speaks any more against the version that it leads to.
"""

from __future__ import annotations

import dataclasses

from govma_core.context import Context, Outcome, commit_of, tell_about
from govma_core.errors import PublishError, RefusedError, UnsafeTreeError
from govma_core.fs import safefs
from govma_core.fs.permissions import sha256_of
from govma_core.promotion import rehearsal, rehearsal_copy, verdicts
from govma_core.promotion.go_live import go_live, require_live
from govma_core.promotion.verdicts import Verdict
from govma_core.text.language import tr
from govma_core.versions import env_file
from govma_core.versions.history import History, live_before, rollback_target
from govma_core.versions.manifest import ManifestStore
from govma_core.versions.store import Version, staging


def run(
    context: Context,
    *,
    version: str | None = None,
    live_shown: str | None = None,
    keep_mark: bool = False,
    current_env: bool = False,
) -> Outcome:
    """Point `current-version` back; without `version` to the one that was live before this one, by the history.

    RefusedError when another version is live than `live_shown`, the one that was confirmed to be left. `current_env`
    puts the present env file into the version before the switch.
    """
    with context.reporter.stage("preflight"):
        current = require_live(context, live_shown)
        env_sha256 = sha256_of(context.settings.env_file) if current_env else ""
        target = context.versions.find(version) if version is not None else previous(context, current, env_sha256)
        commit = tell_about(context, target, current)
        if target.name == current:
            raise RefusedError(
                "{name} is live already. There are:\n{listing}",
                name=target.name,
                listing=context.versions.listing(),
            )
        context.versions.require_promotable(target)
        if ManifestStore(context.settings.state_dir).twins(current, [target.name], env_sha256):
            context.reporter.warning(
                "{name} was made from the same as {live}: what is wrong with that stays.",
                name=target.name,
                live=current,
            )
        _look_at_env_file(context, target.name, renew=current_env)
    verdict = None
    if current is not None and not keep_mark:
        why = tr("rolled back to {target}", target=target.name)
        verdict = Verdict(current, commit_of(context, current), mark=why, hold=why)
    commit_left = verdict.commit if verdict else ""

    def behind() -> None:
        verdicts.forgive(context, target.name, but=commit_left)
        _clear_rehearsals(context)

    go_live(context, target.name, "rollback", commit, verdict=verdict, behind=behind)
    return Outcome(tr("Rolled back to {name}.", name=target.name), target.name, current or "", commit)


def _look_at_env_file(context: Context, name: str, *, renew: bool) -> None:
    """Put the present env file into the version, or say that it was made with another one.

    PublishError when it cannot be put there: nothing is switched then.
    """
    settings, manifests = context.settings, ManifestStore(context.settings.state_dir)
    manifest = manifests.read(name)
    difference = env_file.difference(manifest, settings.env_file)
    if not renew:
        if difference:
            context.reporter.warning(
                "{difference} `govma-console rollback --current-env` puts that into it.", difference=difference
            )
        return
    try:
        with (
            safefs.opened_root(settings.versions_dir) as versions,
            safefs.opened(versions, name) as version,
            staging(versions) as place,
        ):
            sha256 = env_file.renew(settings.env_file, version, place(), context.web_owner)
    except (OSError, UnsafeTreeError) as error:
        raise PublishError(
            "env_file ({path}) could not be put into {name}: {error}. Nothing was switched.",
            path=settings.env_file,
            name=name,
            error=str(error).rstrip("."),
        ) from None
    context.reporter.info("The present env_file (sha256 {sha256}) is in {name}.", sha256=sha256[:12], name=name)
    if manifest is not None:
        # Behind the file: a manifest that tells of one that is not there would have a deploy find nothing new.
        with verdicts.attempt(context, tr("It could not be recorded that {name} has another env_file", name=name)):
            manifests.write(dataclasses.replace(manifest, env_sha256=sha256))


def _clear_rehearsals(context: Context) -> None:
    """Remove what a killed run's rehearsal left; behind the switch, which waits for no engine that does not answer."""
    if rehearsal_copy.used(context.settings.state_dir):
        rehearsal.clear_leftovers(context)


def previous(context: Context, current: str | None, env_sha256: str = "") -> Version:
    """Return the version a rollback leads to: the latest that was live before the current one, is whole and not marked.

    One that was made from the same as the current one is passed over, also one that only the env file of the hash
    `env_sha256` will make the same. RefusedError when there is no other.
    """
    history = History(context.settings.state_dir).read()
    trail = live_before(history, current)
    marks = verdicts.marks(context)
    twins = ManifestStore(context.settings.state_dir).twins(current, trail, env_sha256)
    versions = context.versions.versions()
    target = rollback_target(trail, versions, {*marks, *twins})
    if target is not None:
        return target
    objections = dict.fromkeys((version.name for version in versions), tr("incomplete"))
    objections |= dict.fromkeys(objections.keys() & twins, tr("made from the same as the live one"))
    objections |= {name: marks[name].sentence() for name in objections.keys() & marks.keys()}
    # What a rollback has left is not on the trail any more, and was live as well.
    once_live = dict.fromkeys([*trail, *(entry.version for entry in reversed(history) if entry.version in marks)])
    listed = ", ".join(
        tr("{name} was live before, but is {why}", name=name, why=objections.get(name, tr("gone")))
        for name in list(once_live)[:3]
    )
    raise RefusedError(
        "No record in state_dir ({state_dir}) tells of a good version that was live before this one{gone}. Name the "
        "one to go back to: `govma-console rollback VERSION`. There are:\n{listing}",
        state_dir=context.settings.state_dir,
        gone=f" ({listed})" if listed else "",
        listing=context.versions.listing(),
    )
