"""A key for everything that goes into the sums, so that they are not made again when nothing changed."""

from __future__ import annotations

import json
from array import array
from collections.abc import Collection, Sequence
from hashlib import blake2b
from itertools import chain

from govma_core.disk.usage.ledger import Found, Ledger
from govma_core.disk.usage.part import Part
from govma_core.disk.usage.rows import Rows


def key_of(seals: str, found: Found, names: Sequence[str]) -> str:
    """Return the key of what was found of these names with the seals of this key.

    '' when there are no seals, or more than one version was walked: then there is something new.
    """
    if not seals or len(found.walked) > 1:
        return ""
    parts = [_of_part(part) for part in (*found.walked.values(), found.rest) if part]
    samples = [[name, [sample.as_list() for sample in found.same[name]]] for name in sorted(found.same)]
    beyond = [[device, numbers] for device, numbers in sorted(found.beyond.items()) if numbers]
    key = blake2b(json.dumps([seals, list(names), parts, samples, beyond]).encode(), digest_size=16)
    for device, rows in sorted(found.rows.rows.items()):
        if rows:
            # Two processes meet them in any order.
            numbers = sorted(rows)
            key.update(array("Q", [device, *numbers]))
            key.update(array("Q", chain.from_iterable(map(rows.__getitem__, numbers))))
    return key.hexdigest()


def key_to_come(seals: str, ledger: Ledger, sealed: Collection[str], names: Sequence[str]) -> str:
    """Return the key that the next pass will have if nothing changes, when these versions are sealed under this key."""
    now = ledger.found
    walked = {name: part for name, part in ledger.parts.items() if name not in sealed}
    same = {name: now.same.get(name, ledger.parts[name].samples) for name in sealed}
    bits = sum(ledger.bits[name] for name in walked)
    rows = {}
    for device, fresh in now.rows.rows.items():
        beyond = set(now.beyond.get(device, ()))
        held = {number for number, holders, *_ in ledger.shared(device) if holders & bits} | beyond
        rows[device] = {number: row for number, row in fresh.items() if number in held}
    return key_of(seals, Found(walked, same, rest=now.rest, beyond=now.beyond, rows=Rows(rows)), names)


def _of_part(part: Part) -> list[object]:
    twice = [[*inode, count] for inode, count in sorted(part.names_twice.items())]
    return [part.name, part.device, part.inode, part.blocks, part.sizes, part.files, part.unread, twice]
