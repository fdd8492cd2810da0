"""Reading NIR files in this process: another one per file would take most of the tests' time."""

import pytest

from snnquant.frontends.nir import file, tree


@pytest.fixture
def in_process(monkeypatch):
    """Do everything as always, but in this process."""

    def packed_here(path, seconds):
        assert seconds > 0
        return b"".join(tree.packed_tree(str(path)))

    monkeypatch.setattr(file, "packed_elsewhere", packed_here)
