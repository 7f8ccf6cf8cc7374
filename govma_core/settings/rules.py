"""What one text of the settings must be; each rule raises ValueError that says what is wrong with it."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from govma_core.ages import age_seconds
from govma_core.globs import globs
from govma_core.language import tr

_SIZE = re.compile(r"\d+(\.\d+)?[bkmg]?", re.IGNORECASE)


def require_file_name(text: str) -> None:
    """Ask for the name of a file, without a directory."""
    if not text or "/" in text or text in (".", ".."):
        raise ValueError(tr("{raw!r} must be the plain name of a file in vendor_dir", raw=text))


def require_age(text: str) -> None:
    """Ask for an age such as 30d."""
    age_seconds(text)


def require_size(text: str) -> None:
    """Ask for a size as Docker takes it."""
    if not _SIZE.fullmatch(text):
        raise ValueError(tr("{raw!r} is not a size such as 512m or 2g", raw=text))


def require_glob(text: str) -> None:
    """Ask for a glob that some relative path can fit."""
    globs([text])


def require_inside(text: str) -> None:
    """Ask for a directory below the version."""
    if not text or text.startswith("/") or {"", ".", ".."} & set(text.rstrip("/").split("/")):
        raise ValueError(tr("{item!r} must be a directory below the version, such as system/user/cache", item=text))


def require_container_path(text: str) -> None:
    """Ask for a path in a container."""
    if not text.startswith("/") or text == "/" or ".." in text.split("/"):
        raise ValueError(tr("{text_!r} must be an absolute path in the container, and not /", text_=text))


def require_url_path(path: str) -> None:
    """Ask for a path as it stands in a request."""
    if not path.startswith("/") or not all("!" <= letter <= "~" for letter in path):
        raise ValueError(tr("path {path!r} must begin with / and be written as in a URL (%20 for a space)", path=path))


def require_url(text: str) -> None:
    """Ask for the address of a site: scheme, host and perhaps a port."""
    try:
        parts = urlsplit(text)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        right = False
    if not right or parts.path not in ("", "/") or parts.query or parts.username:
        raise ValueError(tr("{text_!r} must be http:// or https://, a host and perhaps a port", text_=text))
