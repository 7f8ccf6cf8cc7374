"""The npm files of the sample: no addresses in the lock, so that any registry will do."""

from __future__ import annotations

import json


def manifests(version: str, npm: bool) -> dict[str, bytes]:
    """Return package.json and package-lock.json for that version of the site; with npm one small pinned package."""
    package: dict[str, object] = {"name": "portal", "version": version, "private": True}
    build = "node tools/build.js" if npm else "sh tools/build.sh"
    scripts = {"build:docs": f"{build} docs", "prod": f"{build} prod"}
    needs = {"dependencies": {"is-number": "7.0.0"}} if npm else {}
    locked = {
        "version": "7.0.0",
        "integrity": "sha512-41Cifkg6e8TylSpdtTpeLVMqvSBEVzTttHvERD741+pnZ8ANv0004MRL43QKPDlK9cGvNp6NZWZUBlbGXYxxng==",
    }
    lock: dict[str, object] = {
        "name": "portal",
        "version": version,
        "lockfileVersion": 2,
        "requires": True,
        "packages": {"": {"name": "portal", "version": version, **needs}},
    }
    if npm:
        lock["packages"] = {
            "": {"name": "portal", "version": version, **needs},
            "node_modules/is-number": locked | {"engines": {"node": ">=0.12.0"}},
        }
        lock["dependencies"] = {"is-number": locked}
    contents = {"package.json": package | {"scripts": scripts} | needs, "package-lock.json": lock}
    return {name: (json.dumps(value, indent=2) + "\n").encode() for name, value in contents.items()}
