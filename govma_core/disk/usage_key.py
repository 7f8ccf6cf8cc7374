"""A key for everything that goes into the sums, so that they are not made again when nothing changed."""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from hashlib import blake2b
from itertools import chain

from govma_core.disk.usage_ledger import Found, Sealed


def key_of(sealed: Sealed, found: Found, names: Sequence[str]) -> str:
    """Give the key of what was found of these names; '' when there is too much new to make it worth while."""
    if sealed.stored != found.same.keys() or len(found.walked) > 1:
        return ""
    parts = [*found.walked.values(), *([found.rest] if found.rest else [])]
    heads = [part.head() | {"root": [part.name, part.device, part.inode]} for part in parts]
    samples = [[name, [sample.as_list() for sample in found.same[name]]] for name in sorted(found.same)]
    text = json.dumps([sealed.key, list(names), sorted(found.gone), heads, samples, list(found.beyond.items())])
    key = blake2b(text.encode(), digest_size=16)
    for device, rows in found.rows.rows.items():
        # Two processes meet them in any order.
        numbers = sorted(rows)
        key.update(array("Q", [device, *numbers]))
        key.update(array("Q", chain.from_iterable(map(rows.__getitem__, numbers))))
    return key.hexdigest()
