"""What a hostile build leaves behind: `python3 hostile_build.py <case> <canary>` in a work dir, as the build's user.

Stands alone: the build's user can read this file and nothing else of the project.
"""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import socket
import sys
import time

PLACES = (
    "data",
    "data/html",
    "data/html/uploads",
    "data/html/uploads/portal",
    "data/html/uploads/portal/logo.svg",
    "data/html/images",
    "data/html/docs",
    "data/html/themes",
    "data/system",
    "data/system/ee",
    "data/system/user",
    "data/system/user/config",
    "data/system/user/config/.env",
    "data/system/user/templates",
    "node_modules",
)
LINKS = ("folder", "file", "relative-folder", "relative-file", "nowhere", "itself", "etc")
OTHERS = (
    "hard-link-open",
    "hard-link-own",
    "hard-link-env",
    "hard-link-upload",
    "fifo",
    "fifo-env",
    "fifo-upload",
    "socket",
    "setuid",
    "setgid-folder",
    "options",
    "newlines",
    "invalid-utf8",
    "long-name",
    "long-path",
    "deep",
    "deep-uploads",
    "many",
    "no-rights",
    "sparse",
    "no-html",
    "no-system",
    "file-for-folder",
    "env-folder",
    "ours",
    "odd-uploads",
    "chdir-daemon",
    "cleared-daemon",
    "fork-bomb",
    "foreign-file",
    "writable",
    "escape-git",
)
BOMB = 150
CASES = (*(f"{kind}:{place}" for place in PLACES for kind in LINKS), *OTHERS)


def put_link(kind: str, place: str, canary: str) -> None:
    if os.path.islink(place) or os.path.isfile(place):
        os.unlink(place)
    elif os.path.isdir(place):
        shutil.rmtree(place, ignore_errors=True)
        if os.path.isdir(place):
            os.rename(place, f"{place}~")
    os.makedirs(os.path.dirname(place) or ".", exist_ok=True)
    folder, file = os.path.join(canary, "root-folder"), os.path.join(canary, "open")
    here = os.path.realpath(os.path.dirname(place) or ".")
    target = {
        "folder": folder,
        "file": file,
        "relative-folder": os.path.relpath(folder, here),
        "relative-file": os.path.relpath(file, here),
        "nowhere": "/nonexistent/nothing",
        "itself": os.path.basename(place),
        "etc": "/etc",
    }[kind]
    os.symlink(target, place)


def deep(path: str, levels: int) -> None:
    os.makedirs(path, exist_ok=True)
    os.chdir(path)
    for _ in range(levels):
        os.mkdir("d")
        os.chdir("d")
    with open("bottom", "w") as file:
        file.write("bottom")


def other(case: str, canary: str) -> None:
    html, uploads, config = "data/html", "data/html/uploads", "data/system/user/config"
    os.makedirs(uploads, exist_ok=True)
    if case == "hard-link-open":
        os.link(os.path.join(canary, "open"), f"{html}/stolen.txt")
    elif case == "hard-link-own":
        os.link(os.path.join(canary, "build"), f"{html}/stolen.css")
    elif case == "hard-link-env":
        os.link(os.path.join(canary, "open"), f"{config}/.env")
    elif case == "hard-link-upload":
        os.link(os.path.join(canary, "open"), f"{uploads}/stolen.txt")
    elif case in ("fifo", "fifo-env", "fifo-upload"):
        os.mkfifo({"fifo": f"{html}/pipe", "fifo-env": f"{config}/.env", "fifo-upload": f"{uploads}/pipe"}[case])
    elif case == "socket":
        os.chdir(html)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("socket")
    elif case == "setuid":
        shutil.copy("/bin/true", f"{html}/root-shell")
        os.chmod(f"{html}/root-shell", 0o6755)
    elif case == "setgid-folder":
        os.mkdir(f"{html}/set", 0o755)
        os.chmod(f"{html}/set", 0o7777)
    elif case == "options":
        for name in ("-rf", "--", "-", "--reference=x", "*", "$(reboot)", "`id`", ";id", "~root", "con:c"):
            open(f"{html}/{name}", "w").close()
            os.mkdir(f"{html}/{name}.d")
    elif case == "newlines":
        for name in ("a\nb", "\n", "\r", "\x1b[31mred", "\t", " ", "a\n=== successfully deployed ==="):
            open(f"{html}/{name}", "w").close()
    elif case == "invalid-utf8":
        for odd in (b"\xff\xfe", b"caf\xe9", b"\xed\xb2\x80"):
            open(os.fsencode(html) + b"/" + odd, "w").close()
            os.mkdir(os.fsencode(html) + b"/d" + odd)
            os.symlink(odd, os.fsencode(html) + b"/l" + odd)
    elif case == "long-name":
        for name in ("n" * 255, "ã" * 127):
            open(f"{html}/{name}", "w").close()
            open(f"{uploads}/{name}", "w").close()
            open(f"data/system/user/templates/{name[:120]}.css", "w").close()
    elif case == "long-path":
        os.chdir(html)
        for _ in range(40):
            os.mkdir("p" * 250)
            os.chdir("p" * 250)
        open("end", "w").close()
    elif case == "deep":
        deep(html, 2000)
    elif case == "deep-uploads":
        deep(uploads, 2000)
    elif case == "many":
        os.mkdir(f"{html}/many")
        os.chdir(f"{html}/many")
        for number in range(int(os.environ.get("MANY", "100000"))):
            os.close(os.open(str(number), os.O_CREAT | os.O_WRONLY))
    elif case == "no-rights":
        os.mkdir(f"{html}/closed")
        open(f"{html}/closed/file", "w").close()
        os.chmod(f"{html}/closed/file", 0)
        os.chmod(f"{html}/closed", 0)
    elif case == "sparse":
        with open(f"{html}/large", "w") as file:
            file.truncate(1 << 42)
    elif case in ("no-html", "no-system"):
        shutil.rmtree(f"data/{case[3:]}", ignore_errors=True)
    elif case == "file-for-folder":
        shutil.rmtree(uploads)
        open(uploads, "w").close()
        shutil.rmtree(f"{html}/themes", ignore_errors=True)
        open(f"{html}/themes", "w").close()
    elif case == "env-folder":
        os.makedirs(f"{config}/.env/inner")
    elif case == "ours":
        os.symlink(canary, f"{html}/.govma-link-0123456789abcdef")
        name = f".govma-vendor-{hashlib.sha256(b'tmp-build').hexdigest()[:8]}-0123456789abcdef"
        os.symlink(canary, name)
        os.mkdir(f"../{name}") if os.access("..", os.W_OK) else None
    elif case == "odd-uploads":
        os.symlink(os.path.join(canary, "root-folder"), f"{uploads}/way")
        os.symlink(os.path.join(canary, "open"), f"{uploads}/file")
        os.mkfifo(f"{uploads}/pipe")
        open(f"{uploads}/-rf", "w").close()
    elif case == "chdir-daemon":
        daemon(html, canary)
    elif case == "cleared-daemon":
        os.chdir(html)
        if os.fork() == 0:
            os.setsid()
            os.execve("/bin/sh", ["sh", "-c", "exec >/dev/null 2>&1; while :; do : > tick; sleep 0.01; done"], {})
    elif case == "fork-bomb":
        fork_bomb(html)
    elif case == "foreign-file":
        # It lies in a directory of the build's user, who cannot read it.
        os.rename(os.path.join(os.path.dirname(canary), "lent", "root"), f"{html}/stolen.txt")
    elif case == "writable":
        for at, _, names in os.walk("data"):
            for path in (at, *(os.path.join(at, name) for name in names)):
                if not os.path.islink(path):
                    os.chmod(path, 0o777)
    elif case == "escape-git":
        shutil.rmtree(".git", ignore_errors=True)
        os.symlink(os.path.join(canary, "root-folder"), ".git")


def daemon(html: str, canary: str) -> None:
    """Leave processes behind that go on swapping links in, from directories that they are in."""
    for _ in range(3):
        if os.fork() == 0:
            os.setsid()
            if os.fork():
                os._exit(0)
            for fd in range(3):
                os.close(fd)
            os.chdir(html)
            while True:
                try:
                    os.rename("uploads", "uploads~")
                    os.symlink(os.path.join(canary, "root-folder"), "uploads")
                    os.unlink("uploads")
                    os.rename("uploads~", "uploads")
                except OSError:
                    continue


def fork_bomb(html: str) -> None:
    """Leave processes behind that replace each other, each in a session of its own: as many as the limit allows."""
    resource.setrlimit(resource.RLIMIT_NPROC, (BOMB, BOMB))
    if os.fork():
        while not os.path.exists(f"{html}/full"):
            time.sleep(0.01)
        return
    for fd in range(3):
        os.close(fd)
    os.chdir(html)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            if os.fork() == 0:
                os.setsid()
        except OSError:
            if not os.path.exists("full"):
                os.mkdir("full")
            # Makes way for another one, which nobody has seen yet.
            if os.getpid() % 2:
                os._exit(0)


DONE = "the build has done its worst"


def main() -> None:
    case, canary = sys.argv[1:]
    kind, colon, place = case.partition(":")
    if colon:
        put_link(kind, place, canary)
    else:
        other(case, canary)
    print(DONE)


if __name__ == "__main__":
    main()
