"""The same inputs give the same bytes, anywhere, any time."""

import shutil

import pytest
from cli_process import DATA, contents, snnquant


@pytest.mark.parametrize("net", DATA)
def test_same_bytes_in_another_folder_with_another_hash_seed(made, tmp_path, net):
    written = [f"{net}.json", f"{net}.samples.npz", f"{net}.int.onnx", f"{net}.int.manifest.json"]
    folder = tmp_path / "some where else"
    folder.mkdir()
    data = f"{DATA[net]}_calibration.npz"
    shutil.copy(made / f"{net}.onnx", folder)
    shutil.copy(made / data, folder)
    for arguments in (
        ("calibrate", f"{net}.onnx", "--data", data, "-o", f"{net}.json", "--threads", "1"),
        ("convert", f"{net}.onnx", "--calibration", f"{net}.json", "-o", f"{net}.int.onnx"),
    ):
        ran = snnquant(*arguments, cwd=folder, PYTHONHASHSEED="12345", TZ="Asia/Tokyo")
        assert ran.code == 0, ran
    first, again = contents(made), contents(folder)
    assert sorted(again) == sorted([*written, f"{net}.onnx", data])
    for name in written:
        assert again[name] == first[name], name
        assert str(folder).encode() not in again[name]


def test_the_demo_gives_the_same_bytes_twice(tmp_path):
    for seed in ("1", "2"):
        (tmp_path / seed).mkdir()
        arguments = ("demo", "--folder", "made", "-q")
        ran = snnquant(*arguments, cwd=tmp_path / seed, PYTHONHASHSEED=seed)
        assert ran.code == 0, ran
    assert contents(tmp_path / "1" / "made") == contents(tmp_path / "2" / "made")
