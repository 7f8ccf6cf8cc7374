"""The guard against browsers: which requests are a program's, and which a web page's, by their headers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from govma_core.text.language import tr

Headers = Iterable[tuple[bytes, bytes]]

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
_EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - not listened on here
_NO_NAMES = frozenset({"0.0.0.0", "[::]"})  # noqa: S104 - names that are refused

_OF_BROWSERS = frozenset(
    {
        *("accept-language", "upgrade-insecure-requests", "cookie", "dnt", "sec-gpc", "origin", "referer"),
        *("sec-ch-ua", "sec-fetch-mode", "sec-fetch-dest"),
    }
)
"""Headers that browsers send of themselves, and programs do not."""


def allowed_names(bind_hosts: Iterable[str], more: Iterable[str]) -> frozenset[str]:
    """Return the names a request may be addressed to: those of the addresses listened on, and those of the settings."""
    names = {host.lower() for host in more}
    for host in bind_hosts:
        names.add(f"[{host}]" if ":" in host else host)
        if is_loopback(host) or host in _EVERYWHERE:
            names |= _LOOPBACK
    return frozenset(names - _NO_NAMES)


def is_loopback(host: str) -> bool:
    """Tell whether an address or name can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def refusal_reason(
    headers: Headers, http_version: str, names: Collection[str] | None, has_token: Callable[[], bool]
) -> str:
    """Return why a request is refused, '' when it is not; with `names` None it may be addressed to any name.

    `has_token` tells whether a valid token came with it, which no page can send to a server that is not its own.
    """
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1").strip())
    return _host_refusal(values.get("host", []), http_version, names) or _browser_refusal(values, has_token)


def _host_refusal(hosts: list[str], http_version: str, names: Collection[str] | None) -> str:
    if len(hosts) > 1:
        return tr("The request has more than one Host.")
    if not hosts:
        return "" if http_version == "1.0" or names is None else tr("The request has no Host.")
    if names is not None and _without_port(hosts[0]) not in names:
        return tr("This server does not answer as {hosts!r} (allowed_hosts names more).", hosts=hosts[0][:100])
    return ""


def _browser_refusal(values: dict[str, list[str]], has_token: Callable[[], bool]) -> str:
    host = values.get("host", [""])[0].lower()
    for name in ("origin", "referer"):
        for value in values.get(name, []):
            parts = urlsplit(value) if _parses(value) else None
            if parts is None or parts.scheme not in ("http", "https") or parts.netloc.lower() != (host or None):
                return tr(
                    "The request comes from a web page ({capitalize}); pages may not ask this server.",
                    capitalize=name.capitalize(),
                )
    if any(value != "same-origin" for value in values.get("sec-fetch-site", [])):
        return tr("The request comes from a browser (Sec-Fetch-Site); use curl, or `govma-console trigger`.")
    # To a name that it does not know for loopback a browser sends no fetch metadata, and a page can have it leave out
    # the rest; what it calls itself a page cannot change where it cannot read either, nor that it names languages.
    # PowerShell and monitors call themselves so, too, and send nothing else of a browser's.
    agents = values.get("user-agent", [])
    is_named_so = any(agent.lower().startswith("mozilla/") for agent in agents)
    if is_named_so and "sec-fetch-site" not in values and not _OF_BROWSERS.isdisjoint(values) and not has_token():
        return tr("The request comes from a browser (User-Agent); use curl, or `govma-console trigger`.")
    for name in ("sec-purpose", "purpose", "x-moz", "x-purpose"):
        if name in values:
            return tr("The request is a browser's guess ({name}).", name=name)
    if any(name.startswith("access-control-request-") for name in values):
        return tr("Requests of web pages are not answered (preflight).")
    return ""


def _parses(url: str) -> bool:
    try:
        urlsplit(url)
    except ValueError:
        return False
    return True


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).lower()
