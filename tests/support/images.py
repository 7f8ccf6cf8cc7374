"""The images that tests run, made from scratch without any image registry."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import docker

from tests.support.engine import REPOSITORY, SYSTEM_PATH, Engine
from tests.support.locks import LOCKS, shared, unused

BUSYBOX = "govma-test/busybox"
CACHE = REPOSITORY / ".cache" / "images"
NODE_UID = 1000


class ImageUnavailableError(Exception):
    """An image cannot be made here; the message says why."""


def digest(*parts: bytes | str) -> str:
    """Return a short name for the contents."""
    text = b"\0".join(part if isinstance(part, bytes) else part.encode() for part in parts)
    return hashlib.sha256(text).hexdigest()[:16]


@contextmanager
def provided(engine: Engine, name: str, recipe: str, put: Callable[[docker.DockerClient], None]) -> Iterator[str]:
    """Have the tag `name:recipe` in the engine, made by `put` unless it is there; give the tag.

    The last of several processes that use it at once removes it, whichever checkout they test; a private engine goes as
    a whole. What killed ones left of other recipes goes, too.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    tag = f"{name}:{recipe}"
    with engine.client() as client:
        place = Path(engine.host.removeprefix("unix://")).parent if engine.private else LOCKS
        place.mkdir(exist_ok=True)
        scope = digest(str(client.info()["ID"]), name)

        def users(tag: str) -> Path:
            return place / f"{scope}-{tag.rpartition(':')[2]}.using"

        def begin(_: bool) -> None:
            for other in {other for image in client.images.list(name) for other in image.tags} - {tag}:
                with users(other).open("w") as lock:
                    if unused(lock):
                        client.images.remove(other, force=True)
            if not client.images.list(tag):
                put(client)

        def end() -> None:
            if not engine.private:
                client.images.remove(tag, force=True)

        with shared(place / f"{scope}.making", users(tag), begin, end):
            yield tag


@contextmanager
def imported(engine: Engine, name: str, recipe: str, make: Callable[[], Path], changes: Sequence[str]) -> Iterator[str]:
    """Have the tag `name:recipe` in the engine: imported from the tar that `make` gives, unless it is there."""

    def put(client: docker.DockerClient) -> None:
        client.api.import_image_from_file(str(make()), repository=name, tag=recipe, changes=list(changes))

    with provided(engine, name, recipe, put) as tag:
        yield tag


@cache
def busybox_tar() -> bytes:
    """Return a root file system: busybox under all its names, root, and `node` with uid 1000.

    Raises ImageUnavailableError without a busybox that needs no libraries.
    """
    busybox = shutil.which("busybox", path=SYSTEM_PATH)
    binary = Path(busybox).read_bytes() if busybox else b""
    if not binary or b"/ld-linux" in binary:
        raise ImageUnavailableError("busybox-static is not installed (scripts/test-packages does it)")
    applets = subprocess.run(
        ["busybox", "--list-full"], executable=busybox, check=True, capture_output=True, text=True
    ).stdout.split()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in sorted({str(Path(applet).parent) for applet in applets} | {"bin", "etc", "home", "root"}):
            tar.addfile(_member(name, tarfile.DIRTYPE, 0o755))
        for name in ("tmp", "var", "var/tmp"):
            tar.addfile(_member(name, tarfile.DIRTYPE, 0o755 if name == "var" else 0o1777))
        tar.addfile(_member("home/node", tarfile.DIRTYPE, 0o755, owner=NODE_UID))
        for name, content in {
            "bin/busybox": binary,
            "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\n",
            "etc/group": b"root:x:0:\nnode:x:1000:\n",
        }.items():
            member = _member(name, tarfile.REGTYPE, 0o755 if name.startswith("bin/") else 0o644)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for applet in applets:
            if applet != "bin/busybox":
                link = _member(applet, tarfile.SYMTYPE, 0o777)
                link.linkname = "/bin/busybox"
                tar.addfile(link)
    return out.getvalue()


def _member(name: str, kind: bytes, mode: int, owner: int = 0) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode = kind, mode
    member.uid = member.gid = owner
    return member


def busybox_tag(command: str = "/bin/sh") -> str:
    """Return the tag that busybox_image gives."""
    return f"{BUSYBOX}:{digest(busybox_tar(), command)}"


@contextmanager
def busybox_image(engine: Engine, command: str = "/bin/sh") -> Iterator[str]:
    """Have an image of busybox alone in the engine, which runs this command by itself; give its tag."""
    content = busybox_tar()
    name, _, recipe = busybox_tag(command).partition(":")

    def make() -> Path:
        path = CACHE / f"busybox-{digest(content)}.tar"
        staged = CACHE / f".{path.name}-{os.getpid()}"
        # Another session may read it.
        staged.write_bytes(content)
        staged.replace(path)
        return path

    with imported(engine, name, recipe, make, [f"CMD {json.dumps(command.split())}"]) as tag:
        yield tag
