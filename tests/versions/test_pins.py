"""Pins: one file each, so that no operator overwrites the pin of another."""

from __future__ import annotations

import threading
from pathlib import Path

from govma_core.versions.marks import PinStore


def test_two_people_who_pin_at_once_lose_nothing_and_a_damaged_pin_still_pins(tmp_path: Path) -> None:
    pins = PinStore(tmp_path)
    versions = [f"data-build--2022-01-{day:02}-00h00m00s" for day in range(1, 21)]
    threads = [
        threading.Thread(target=lambda own=own: [PinStore(tmp_path).pin(name, "ana", "", 1.0) for name in own])
        for own in (versions[::2], versions[1::2])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(pins.read()) == versions
    pin = pins.pin(versions[0], "rui", "two\nlines", 2.5)
    assert pins.read()[versions[0]] == pin
    assert pin.sentence() == "pinned by rui: two lines"
    assert pins.pin(versions[0], "bia", None, 3.5).sentence() == "pinned by bia: two lines"
    assert pins.pin(versions[0], "bia", "", 3.5).sentence() == "pinned by bia"
    (tmp_path / "pins" / f"{versions[1]}.json").write_bytes(b"\x00")
    assert pins.read()[versions[1]].sentence() == "pinned"
    assert pins.unpin(versions[1])
    assert not pins.unpin(versions[1])
    assert versions[1] not in pins.read()
