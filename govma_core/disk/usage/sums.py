"""From the ledger to the numbers: what each version takes, what all do, and what any set of them would free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from govma_core.disk.usage.ledger import Group, Ledger
from govma_core.disk.usage.part import Part
from govma_core.disk.usage.summary import Prices, Sums, VersionUsage

_BLOCK = 512


def sums(ledger: Ledger, names: Sequence[str]) -> Sums:
    """Add everything up; versions come in the order of the names, those that were not found are left out."""
    groups = ledger.groups()
    bits, rest = ledger.bits, ledger.found.rest
    parts = [ledger.parts[name] for name in names if name in ledger.parts]
    own = sum(part.blocks for part in parts)
    named = sum(held.bit_count() * group.blocks for held, group in groups.items())
    return Sums(
        versions=tuple(_version(part, bits[part.name], groups) for part in parts),
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


def _version(part: Part, bit: int, groups: Mapping[int, Group]) -> VersionUsage:
    held = [group for holders, group in groups.items() if holders & bit]
    size = part.blocks + sum(group.blocks for group in held)
    exclusive = part.blocks + (groups[bit].inside if bit in groups else 0)
    return VersionUsage(
        name=part.name,
        apparent=part.sizes + sum(group.sizes for group in held),
        size=size * _BLOCK,
        exclusive=exclusive * _BLOCK,
        shared=(size - exclusive) * _BLOCK,
        files=part.files,
    )
