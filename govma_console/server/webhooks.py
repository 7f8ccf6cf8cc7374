"""`/hooks/…`: pushes as git servers report them, each authentic or refused, each deployed once.

Signatures are over the raw body: GitHub "Validating webhook deliveries" (`X-Hub-Signature-256`), Gitea "Webhooks"
(`X-Gitea-Signature`); GitLab sends the secret itself (`X-Gitlab-Token`, GitLab "Webhooks").
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from govma_console.server.auth import get_site
from govma_console.server.connection import PEER
from govma_console.server.deploy import DEFAULTS, IF_NEW
from govma_console.server.responses import AsciiJson, Refusal
from govma_console.server.state import Caller
from govma_console.server.tokens import check_private
from govma_core.errors import ConfigurationError, UsageError
from govma_core.text.language import tr


@dataclass(frozen=True, slots=True)
class Sender:
    """How one kind of git server proves its identity and names a push; one that does not sign sends the secret."""

    signature: str
    prefix: str
    event: str
    push: str
    signs: bool = True

    def authentic(self, request: Request, body: bytes, secret: bytes) -> bool:
        """Tell whether the sender knows the secret; takes as long for a wrong signature as for a right one."""
        signatures = request.headers.getlist(self.signature)
        if len(signatures) != 1:
            return False
        expected = self.prefix.encode() + hmac.new(secret, body, hashlib.sha256).hexdigest().encode()
        return hmac.compare_digest(signatures[0].encode("latin-1"), expected if self.signs else secret)


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
        raise Refusal(404, "")
    body = await request.body()
    if not sender.authentic(request, body, secret):
        raise Refusal(401, tr("The signature of this delivery is missing or wrong."))
    if request.headers.get(sender.event) != sender.push:
        return AsciiJson({"ignored": tr("not a push")})
    branch = f"refs/heads/{site.settings.branch}"
    if _ref_of(body) != branch:
        return AsciiJson({"ignored": tr("not a push to {branch}", branch=branch)})
    caller = Caller(request.scope[PEER], token=f"{request.path_params['sender']} hook")
    # Ids of deliveries are not signed: a delivery that comes again is recognised by its content.
    arguments = IF_NEW if site.settings.hook_if_new else DEFAULTS
    about = f"{request.path_params['sender']}{', if new' if site.settings.hook_if_new else ''}\0"
    key = hashlib.sha256(about.encode() + body).hexdigest()
    # Only told: what stands in the way of a deploy may be over when the run has its turn.
    refusal = await site.refusal()
    admission = site.admit("deploy", arguments, caller, policy=_policy(site.settings.queue), key=key)
    site.launch(admission)
    answer = {"run": admission.record.id, "new": admission.fresh} | ({"refusal": refusal} if refusal else {})
    return AsciiJson(answer, 202, {"location": f"/api/v1/runs/{admission.record.id}"})


def read_secret(path: Path | None) -> bytes:
    """Return the secret shared with the git server, b'' without one; ConfigurationError when others can read it."""
    if path is None:
        return b""
    try:
        with path.open("rb") as file:
            check_private(path, os.fstat(file.fileno()))
            return file.read(4096).strip()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise ConfigurationError(
            "hook_secret_file ({path}) cannot be read: {strerror}.", path=path, strerror=error.strerror
        ) from None


def _ref_of(body: bytes) -> str:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise UsageError("The delivery is not JSON; set the content type of the hook to application/json.") from None
    ref = data.get("ref") if isinstance(data, dict) else None
    return ref if isinstance(ref, str) else ""


def _policy(queue: str) -> str:
    # The git server does not try again later: its pushes wait where other callers are refused.
    return "each" if queue == "each" else "coalesce"


ROUTES: list[BaseRoute] = [Route("/hooks/{sender}", hook, methods=["POST"])]
