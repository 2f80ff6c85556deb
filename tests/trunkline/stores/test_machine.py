"""What the machine has left."""

from __future__ import annotations

from pathlib import Path

from trunkline.stores.machine import look_at_machine


def test_memory_load_disk_and_kept_files_are_told(tmp_path: Path) -> None:
    media = tmp_path / "media"
    (media / "acme").mkdir(parents=True)
    (media / "acme" / "file").write_bytes(b"12345")
    machine = look_at_machine(tmp_path, media)
    assert machine.media == 5
    assert 0 < machine.memory_available <= machine.memory
    assert machine.disk_free > 0 and machine.load_per_core >= 0


def test_folders_that_are_not_there_yet_hold_nothing(tmp_path: Path) -> None:
    machine = look_at_machine(tmp_path / "home", tmp_path / "media")
    assert (machine.disk_free, machine.media) == (0, 0)
