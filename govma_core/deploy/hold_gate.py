"""The holds that stop a deploy: of all deploys, and of the commit that it would make live."""

from __future__ import annotations

import dataclasses

from govma_core.context import Context
from govma_core.deploy.commits import Commit
from govma_core.deploy.source import Checkout
from govma_core.errors import HeldError
from govma_core.promotion import verdicts
from govma_core.text.language import tr
from govma_core.versions.holds import Hold, HoldStore
from govma_core.versions.manifest import ManifestStore


class Gate:
    """The holds that a deploy has to pass; its methods are called in their order."""

    def __init__(self, context: Context, *, promote: bool, force: bool) -> None:
        self._context = context
        self._holds = HoldStore(context.settings.state_dir)
        self._promote, self._force = promote, force
        self._superseded: list[Hold] = []
        self._commit = ""
        self.overridden = ""
        """What `force` was needed against, '' when nothing was in the way."""

    def require_open(self) -> None:
        """Raise HeldError while all deploys are held."""
        self._pass(self._holds.read().by_hand)

    def require_commit(self, checkout: Checkout, commit: Commit) -> None:
        """Raise HeldError when the commit is held that would go live; note the holds that its going live ends."""
        holds = self._holds.read()
        self._commit = commit.sha
        self._pass(holds.by_hand)
        for hold in holds.commits:
            if hold.commit != commit.sha:
                if checkout.is_ancestor(hold.commit, commit.sha):
                    self._superseded.append(hold)
            elif self._promote:
                self._pass(hold)
                # Only --force gets here: what is live on purpose is not held.
                self._superseded.append(hold)
            else:
                self._context.reporter.info(
                    "{sentence} This run makes nothing live, so it continues.", sentence=hold.sentence()
                )

    def require_open_still(self, version: str) -> None:
        """Raise HeldError when all deploys are held since this one began; what is forced then is recorded, too."""
        hold = self._holds.read().by_hand
        if hold is None:
            return
        if not self._force:
            error = hold.error()
            raise HeldError(
                tr(
                    "{error} {version} is published, and not live: `govma-console promote {version}` makes it so.",
                    error=error,
                    version=version,
                ),
                error.until,
            )
        overridden_before = self.overridden
        self._pass(hold)
        if self.overridden != overridden_before:
            failure = tr("It could not be recorded that {version} was forced", version=version)
            with verdicts.attempt(self._context, failure):
                self._record(version)

    def end_holds(self) -> None:
        """End the holds of commits that the live one contains, its own among them."""
        for hold in self._superseded:
            own = hold.commit == self._commit
            verdicts.end_hold(
                self._context, hold.commit, tr("it was made live by --force") if own else tr("a newer commit is live")
            )

    def _record(self, version: str) -> None:
        store = ManifestStore(self._context.settings.state_dir)
        manifest = store.read(version)
        if manifest is not None:
            store.write(dataclasses.replace(manifest, forced=self.overridden))

    def _pass(self, hold: Hold | None) -> None:
        if hold is None:
            return
        if not self._force:
            raise hold.error()
        if hold.sentence() not in self.overridden:
            self.overridden = f"{self.overridden} {hold.sentence()}".lstrip()
            self._context.reporter.warning("{sentence} Continuing anyway (--force).", sentence=hold.sentence())
