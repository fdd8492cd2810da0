from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from snnquant.errors import DataError, UsageError
from snnquant.files import atomic_write, ensure_writable, sha256_of


def test_text_and_bytes_are_written(tmp_path: Path) -> None:
    path = tmp_path / "a"
    atomic_write(path, "schön\n")
    assert path.read_bytes() == b"sch\xc3\xb6n\n"
    atomic_write(path, b"\x00\r\n")
    assert path.read_bytes() == b"\x00\r\n"
    assert list(tmp_path.iterdir()) == [path]


def test_mode_follows_the_umask_and_then_the_old_file(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        atomic_write(tmp_path / "a", "1")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    (tmp_path / "a").chmod(0o604)
    atomic_write(tmp_path / "a", "2")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o604


def test_symbolic_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    atomic_write(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_device_is_written_to_and_not_replaced() -> None:
    atomic_write(os.devnull, "gone")
    assert not Path(os.devnull).is_file()


def test_longest_name_is_possible(tmp_path: Path) -> None:
    atomic_write(tmp_path / ("n" * 255), "x")
    assert (tmp_path / ("n" * 255)).read_text() == "x"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing/out.json", "there is no folder"),
        (".", "it is a folder"),
        ("file/out.json", "there is no folder"),
        ("nul\0", "null"),
    ],
)
def test_unusable_paths_are_usage_errors(tmp_path: Path, path: str, message: str) -> None:
    (tmp_path / "file").write_text("")
    for refuse in (ensure_writable, lambda target: atomic_write(target, "x")):
        with pytest.raises(UsageError, match=message) as caught:
            refuse(tmp_path / path)
        assert "\n" not in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_read_only_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(UsageError, match="read-only"):
        ensure_writable(tmp_path / "new")


def test_full_disk_is_a_usage_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(UsageError, match="No space left on device"):
        atomic_write(tmp_path / "a", "x")
    assert list(tmp_path.iterdir()) == []


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
    with pytest.raises(DataError, match="cannot read"):
        sha256_of(tmp_path / "b")
