"""``doctor`` as its users meet it."""

import json

import pytest
from cli_process import snnquant
from test_cli_exit_codes import NO_LIBRARY, started

from snnquant import runtime


def test_a_machine_that_is_ready(tmp_path):
    ran = snnquant("doctor", "--json", cwd=tmp_path)
    assert ran.code == 0, ran
    found = json.loads(ran.out)
    metrics = found["metrics"]
    assert found["schema"] == "snnquant.doctor/1"
    assert found["gates"][0]["status"] == "passed"
    assert (metrics["problem"], metrics["self_test"]) == ("", "passed")
    assert metrics["library"] == runtime.get_library_path()
    assert metrics["instruction_set"] in metrics["instruction_sets"]
    assert metrics["versions"]["numpy"]
    assert metrics["seconds"] < 5


def test_the_instruction_set_that_is_asked_for(tmp_path):
    ran = snnquant("doctor", cwd=tmp_path, SNNQUANT_ISA="baseline")
    assert ran.code == 0, ran
    rows = [line.split() for line in ran.out.splitlines()]
    assert rows[0] == ["what", "found"]
    assert ["instruction", "set", "baseline"] in rows
    assert ["SNNQUANT_ISA", "baseline"] in rows


@pytest.mark.parametrize("json_too", [(), ("--json",)], ids=["table", "json"])
def test_a_library_that_cannot_be_used_is_7(folder, json_too):
    ran = started(folder, NO_LIBRARY, ("doctor", *json_too))
    assert ran.returncode == 7
    assert ran.stderr.count(b"\n") == 1
    assert b"reinstall" in ran.stderr
    assert b"passed" in ran.stdout  # the function bodies work all the same
    ran = snnquant("doctor", cwd=folder, SNNQUANT_ISA="none")
    assert ran.code == 7, ran
    assert "SNNQUANT_ISA is 'none'" in ran.err
