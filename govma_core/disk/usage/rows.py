"""Inodes with several names: what stat gave, and which versions hold them."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Any

from govma_core.disk.usage.pack import Array
from govma_core.disk.usage.part import Row
from govma_core.language import tr

ROW_COLUMNS = 5
"""Arrays that pack() gives for each device."""


@dataclass(slots=True)
class Rows:
    """Inodes by device and number: their row, and a number whose bits are the versions that hold them."""

    rows: dict[int, dict[int, Row]] = field(default_factory=dict)
    holders: dict[int, dict[int, int]] = field(default_factory=dict)

    def pack(self) -> tuple[dict[str, Any], list[Array]]:
        """Return them as a head (what JSON can hold) and arrays. The few different sets of holders are in the head."""
        places: dict[int, int] = {}
        arrays = []
        for device, rows in self.rows.items():
            holders = self.holders.get(device, {})
            sets = [places.setdefault(holders.get(number, 0), len(places)) for number in rows]
            columns = zip(*rows.values(), strict=True) if rows else ((), (), ())
            arrays += [array("Q", rows), *(array("Q", column) for column in columns), array("I", sets)]
        return {"devices": list(self.rows), "holders": [f"{held:x}" for held in places]}, arrays

    @classmethod
    def unpack(cls, head: dict[str, Any], arrays: list[Array]) -> Rows:
        """Make them of what pack() gave."""
        held = [int(found, 16) for found in head["holders"]]
        found = cls()
        if len(arrays) != ROW_COLUMNS * len(head["devices"]):
            raise ValueError(tr("columns are missing"))
        for place, device in enumerate(head["devices"]):
            numbers, *columns, sets = arrays[ROW_COLUMNS * place : ROW_COLUMNS * (place + 1)]
            found.rows[device] = dict(zip(numbers, zip(*columns, strict=True), strict=True))
            holders = zip(numbers, map(held.__getitem__, sets), strict=True)
            found.holders[device] = {number: bits for number, bits in holders if bits} if 0 in held else dict(holders)
        return found

    def add(self, other: Rows) -> None:
        """Take in what another process found; its rows replace older ones."""
        for device, rows in other.rows.items():
            self.rows.setdefault(device, {}).update(rows)
        for device, found in other.holders.items():
            holders = self.holders.setdefault(device, {})
            if not holders:
                holders.update(found)
                continue
            get = holders.get
            for number, held in found.items():
                holders[number] = get(number, 0) | held

    def keep(self, bits: int) -> None:
        """Forget every holder but those of these bits."""
        for device, holders in self.holders.items():
            self.holders[device] = {number: held & bits for number, held in holders.items() if held & bits}
