"""The images that tests run, made from scratch without any image registry."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import docker
from docker.errors import ImageNotFound

from tests.support.engine import REPOSITORY, SYSTEM_PATH, Engine

BUSYBOX_TAG = "govma-test/busybox:latest"
CACHE = REPOSITORY / ".cache" / "images"
LOCKS = Path("/var/tmp/govma-test-images")
"""One place for all checkouts, as they share the machine's engine."""
RECIPE_LABEL = "govma-test.recipe"
NODE_UID = 1000


class ImageUnavailableError(Exception):
    """An image cannot be made here; the message says why."""


def digest(*parts: bytes | str) -> str:
    """Return a short name for the contents."""
    text = b"\0".join(part if isinstance(part, bytes) else part.encode() for part in parts)
    return hashlib.sha256(text).hexdigest()[:16]


@contextmanager
def provided(engine: Engine, tag: str, recipe: str, put: Callable[[docker.DockerClient], None]) -> Iterator[str]:
    """Have the tag in the engine: what `put` makes, with the label of its recipe, unless that is there.

    The last of several processes that use it at once removes it, whichever checkout they test; a private engine goes as
    a whole.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    place = Path(engine.host.removeprefix("unix://")).parent if engine.private else LOCKS
    place.mkdir(exist_ok=True)
    # Two locks: who comes later waits while the image is made, and not for as long as others use it.
    making, using = place / f"{digest(tag)}.making", place / f"{digest(tag)}.using"
    with using.open("w") as users, engine.client() as client:
        with _locked(making):
            if _recipe_of(client, tag) != recipe:
                put(client)
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield tag
        finally:
            with _locked(making), suppress(BlockingIOError):
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not engine.private:
                    client.images.remove(tag, force=True)


@contextmanager
def imported(engine: Engine, tag: str, recipe: str, make: Callable[[], Path], changes: Sequence[str]) -> Iterator[str]:
    """Have the tag in the engine: imported from the tar that `make` gives, unless one of this recipe is there."""

    def put(client: docker.DockerClient) -> None:
        name, _, version = tag.rpartition(":")
        settings = [*changes, f"LABEL {RECIPE_LABEL}={recipe}"]
        client.api.import_image_from_file(str(make()), repository=name, tag=version, changes=settings)

    with provided(engine, tag, recipe, put):
        yield tag


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other processes that do the same out for the block."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _recipe_of(client: docker.DockerClient, tag: str) -> str | None:
    with suppress(ImageNotFound):
        recipe: str | None = client.images.get(tag).labels.get(RECIPE_LABEL)
        return recipe
    return None


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


@contextmanager
def busybox_image(engine: Engine, tag: str = BUSYBOX_TAG, command: str = "/bin/sh") -> Iterator[str]:
    """Have an image of busybox alone in the engine, which runs this command by itself; give its tag."""
    content = busybox_tar()
    recipe = digest(content, command)

    def make() -> Path:
        path = CACHE / f"busybox-{digest(content)}.tar"
        staged = CACHE / f".{path.name}-{os.getpid()}"
        # Another session may read it.
        staged.write_bytes(content)
        staged.replace(path)
        return path

    with imported(engine, tag, recipe, make, [f"CMD {json.dumps(command.split())}"]):
        yield tag
