"""From the ledger to the numbers: what each version takes, what all do, and what any set of them would free."""

from __future__ import annotations

from collections.abc import Sequence

from govma_core.disk.usage.ledger import Ledger
from govma_core.disk.usage.summary import Prices, Sums, VersionUsage

_BLOCK = 512


def sums(ledger: Ledger, names: Sequence[str]) -> Sums:
    """Add everything up; versions come in the order of the names, those that were not found are left out."""
    groups = ledger.groups()
    bits, rest = ledger.bits, ledger.found.rest
    parts = [ledger.parts[name] for name in names if name in ledger.parts]
    versions = []
    for part in parts:
        bit = bits[part.name]
        shared = [group for held, group in groups.items() if held & bit]
        size = part.blocks + sum(group.blocks for group in shared)
        apparent = part.sizes + sum(group.sizes for group in shared)
        exclusive = part.blocks + (groups[bit].inside if bit in groups else 0)
        versions.append(
            VersionUsage(
                part.name, apparent, size * _BLOCK, exclusive * _BLOCK, (size - exclusive) * _BLOCK, part.files
            )
        )
    own = sum(part.blocks for part in parts)
    named = sum(held.bit_count() * group.blocks for held, group in groups.items())
    return Sums(
        versions=tuple(versions),
        real=(own + sum(group.blocks for group in groups.values())) * _BLOCK,
        others=((rest.blocks if rest else 0) + sum(blocks for blocks, _, _ in ledger.rest_alone())) * _BLOCK,
        unlinked=(own + named + ledger.repeats()) * _BLOCK,
        unread=sum(part.unread for part in parts) + (rest.unread if rest else 0),
        prices=Prices(
            bits=bits,
            alone={part.name: part.blocks * _BLOCK for part in parts},
            together={held: group.inside * _BLOCK for held, group in groups.items() if group.inside},
        ),
    )
