"""`/hooks/…`: pushes as git servers report them, each authentic or refused, each deployed once.

Signatures are over the raw body: GitHub "Validating webhook deliveries" (`X-Hub-Signature-256`), Gitea "Webhooks"
(`X-Gitea-Signature`); GitLab sends the secret itself (`X-Gitlab-Token`, GitLab "Webhooks").
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from govma_console.server.auth import get_site
from govma_console.server.connection import PEER
from govma_console.server.requests import DEFAULTS, IF_NEW
from govma_console.server.responses import AsciiJson, Refusal
from govma_console.server.state import Caller
from govma_console.server.tokens import read_secret
from govma_core.errors import UsageError
from govma_core.text.language import tr


@dataclass(frozen=True, slots=True)
class Sender:
    """How one kind of git server proves its identity and names a push; one that does not sign sends the secret."""

    signature: str
    prefix: str
    event: str
    push: str
    signs: bool = True

    def is_authentic(self, request: Request, digest: str, secret: bytes) -> bool:
        """Tell whether the sender knows the secret; takes as long for a wrong signature as for a right one.

        `digest` is the HMAC-SHA-256 of the body with the secret, in hexadecimal digits.
        """
        signatures = request.headers.getlist(self.signature)
        if len(signatures) != 1:
            return False
        expected = f"{self.prefix}{digest}".encode() if self.signs else secret
        return hmac.compare_digest(signatures[0].encode("latin-1"), expected)


_OUTSIDE, _IN_TEXT = re.compile(rb'["{}\[\]]'), re.compile(rb'["\\]')
"""What ends or begins a text, an object or a list, outside texts and within them."""
_MOST_KEPT = 1 << 16
"""Bytes of a push beside its lists and objects that are looked at."""

SENDERS = {
    "github": Sender("x-hub-signature-256", "sha256=", "x-github-event", "push"),
    "gitea": Sender("x-gitea-signature", "", "x-gitea-event", "push"),
    "gitlab": Sender("x-gitlab-token", "", "x-gitlab-event", "Push Hook", signs=False),
}


async def hook(request: Request) -> Response:
    """Take a delivery: 202 with the run for a push to the branch that is deployed, 200 for what needs no run."""
    sender = SENDERS.get(request.path_params["sender"])
    if sender is None:
        raise Refusal(404, "")
    site = get_site(request)
    secret = read_secret(site.settings.hook_secret_file)
    if not secret:
        raise Refusal(404, "", reason=tr("there is no secret of the git server (hook_secret_file)"))
    # Ids of deliveries are not signed: a delivery that comes again is recognised by its content.
    arguments = IF_NEW if site.settings.hook_if_new else DEFAULTS
    about = f"{request.path_params['sender']}{', if new' if site.settings.hook_if_new else ''}\0"
    digest, key = hmac.new(secret, digestmod="sha256"), hashlib.sha256(about.encode())
    members = Members()
    async for part in request.stream():
        digest.update(part)
        key.update(part)
        members.feed(part)
    if not sender.is_authentic(request, digest.hexdigest(), secret):
        raise Refusal(401, tr("The signature of this delivery is missing or wrong."))
    if request.headers.get(sender.event) != sender.push:
        return AsciiJson({"ignored": tr("not a push")})
    branch = f"refs/heads/{site.settings.branch}"
    push = members.read()
    if push.get("ref") != branch:
        return AsciiJson({"ignored": tr("not a push to {branch}", branch=branch)})
    if push.get("deleted") is True or set(str(push.get("after"))) == {"0"}:
        return AsciiJson({"ignored": tr("{branch} was deleted", branch=branch)})
    caller = Caller(request.scope[PEER], token=f"{request.path_params['sender']} hook")
    # Only told: what stands in the way of a deploy may be over when the run has its turn.
    refusal = await site.refusal()
    # "Redeliver" of the git server is how one tries again what went wrong.
    admission = site.admit(
        "deploy", arguments, caller, policy=_policy(site.settings.queue), key=key.hexdigest(), retry_failed=True
    )
    site.launch(admission)
    answer = {"run": admission.record.id, "new": admission.fresh} | ({"refusal": refusal} if refusal else {})
    return AsciiJson(answer, 202, {"location": f"/api/v1/runs/{admission.record.id}"})


class Members:
    """Takes a JSON object part by part, and keeps of it what is not within further objects and lists: that is little.

    A push of many commits has megabytes, nearly all of them in the list of these.
    """

    def __init__(self) -> None:
        self._kept = bytearray()
        self._depth = 0
        self._is_text = self._is_escape = False

    def feed(self, part: bytes) -> None:
        """Take the next part; `null` is kept in place of each object or list within the outermost one."""
        start = position = 0
        if self._is_escape and part:
            position, self._is_escape = 1, False
        while match := (_IN_TEXT if self._is_text else _OUTSIDE).search(part, position):
            sign, position = match[0], match.end()
            if sign == b"\\":
                self._is_escape = position == len(part)
                position += 1
            elif sign == b'"':
                self._is_text = not self._is_text
            elif sign in b"{[":
                self._depth += 1
                if self._depth == 2:
                    self._keep(part[start : position - 1] + b"null")
            else:
                self._depth -= 1
                if self._depth == 1:
                    start = position
        if self._depth < 2:
            self._keep(part[start:])

    def read(self) -> dict[str, object]:
        """Return the object, {} when it was something else; UsageError when it was no JSON."""
        try:
            data = json.loads(self._kept)
        except (ValueError, RecursionError):
            raise UsageError(
                "The delivery is not JSON; set the content type of the hook to application/json."
            ) from None
        return data if isinstance(data, dict) else {}

    def _keep(self, piece: bytes) -> None:
        self._kept += piece[: _MOST_KEPT - len(self._kept)]


def _policy(queue: str) -> str:
    # The git server does not try again later: its pushes wait where other callers are refused.
    return "each" if queue == "each" else "coalesce"


ROUTES: list[BaseRoute] = [Route("/hooks/{sender}", hook, methods=["POST"])]
