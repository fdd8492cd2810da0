"""Models that no export made: each is refused with one line and the right code."""

import shutil

import numpy as np
import onnx
import pytest
from cli_process import SAMPLES, forked, refuses
from onnx import TensorProto, helper, numpy_helper

SOURCE = SAMPLES / "digits_mlp.onnx"
IMPORT = ("import", "bad.onnx", "-o", "old.onnx", "-q")
CALIBRATE = ("calibrate", "bad.onnx", "--data", "digits_test.npz", "-o", "old.json", "-q")


def changed(change):
    """Return the bytes of the digits MLP after a change of its protobuf."""
    model = onnx.load(str(SOURCE))
    change(model)
    return model.SerializeToString()


def node(model, name):
    return next(n for n in model.graph.node if n.name == name)


def tensor(model, name):
    return next(t for t in model.graph.initializer if t.name == name)


def replace(model, name, array):
    tensor(model, name).CopyFrom(numpy_helper.from_array(array, name))


def attribute(model, name):
    return next(a for a in node(model, "lif1").attribute if a.name == name)


def first(model, name, value):
    array = numpy_helper.to_array(tensor(model, name)).copy()
    array.flat[0] = value
    replace(model, name, array)


def external(model, **where):
    held = tensor(model, "fc1.weight")
    held.ClearField("raw_data")
    held.data_location = TensorProto.EXTERNAL
    for key, value in where.items():
        held.external_data.add(key=key, value=value)


def share(model):
    """Let every tensor, and a few more, be the same bytes of a small file."""
    for k in range(10):
        held = model.graph.initializer.add(name=f"more{k}", data_type=TensorProto.UINT8, dims=[12])
        held.data_location = TensorProto.EXTERNAL
        held.external_data.add(key="location", value="old.json")


def constant_node(model, value):
    array = numpy_helper.to_array(tensor(model, "fc1.weight")).copy()
    array[0, 0] = value
    model.graph.initializer.remove(tensor(model, "fc1.weight"))
    made = helper.make_node("Constant", [], ["fc1.weight"], value=numpy_helper.from_array(array))
    model.graph.node.insert(0, made)


def drop_neurons(model):
    del model.graph.node[2:]
    model.graph.output[0].CopyFrom(
        helper.make_tensor_value_info("fc1.output", TensorProto.FLOAT, ["batch", 64])
    )


def set_opset(model, version):
    model.opset_import[0].version = version


def shape(model):
    return model.graph.input[0].type.tensor_type.shape


#: Name: (exit code, words of the message, change of the model).
GRAPHS = {
    "no neuron": (3, "neuron", drop_neurons),
    "no node": (3, "no ONNX model|not an ONNX model", lambda m: m.graph.ClearField("node")),
    "NaN weight": (5, "'fc1.weight'", lambda m: first(m, "fc1.weight", np.nan)),
    "Inf bias": (5, "'fc2.0.bias'", lambda m: first(m, "fc2.0.bias", np.inf)),
    "NaN threshold": (5, "'lif1.v_threshold'", lambda m: first(m, "lif1.v_threshold", np.nan)),
    "-Inf decay": (5, "'lif1.alpha'", lambda m: first(m, "lif1.alpha", -np.inf)),
    "NaN in a Constant": (5, "Constant 'fc1.weight'", lambda m: constant_node(m, np.nan)),
    "unknown op": (3, "Izhikevich", lambda m: setattr(node(m, "lif1"), "op_type", "Izhikevich")),
    "no attribute": (3, "attribute reset", lambda m: node(m, "lif1").ClearField("attribute")),
    "bad attribute": (3, "reset is 77", lambda m: setattr(attribute(m, "reset"), "i", 77)),
    "attribute of another type": (
        3,
        "attribute reset",
        lambda m: attribute(m, "reset").CopyFrom(helper.make_attribute("reset", "hard")),
    ),
    "few inputs": (
        3,
        "4 inputs, needs 8",
        lambda m: node(m, "lif1").input.__delitem__(slice(4, 8)),
    ),
    "many inputs": (3, "9 inputs, needs 8", lambda m: node(m, "lif1").input.append("lif1.alpha")),
    "empty input": (3, "'lif1'", lambda m: node(m, "lif1").input.__setitem__(2, "")),
    "no outputs": (3, "'lif1.spikes'", lambda m: node(m, "lif1").ClearField("output")),
    "two outputs": (3, "lif1", lambda m: node(m, "lif1").output.append("second")),
    "opset 0": (3, "opset 0", lambda m: set_opset(m, 0)),
    "opset 99": (3, "opset 99", lambda m: set_opset(m, 99)),
    "opset 2**40": (3, "opset 1099511627776", lambda m: set_opset(m, 2**40)),
    "unknown standard op": (
        3,
        "NoSuchOp",
        lambda m: setattr(node(m, "fc2"), "op_type", "NoSuchOp"),
    ),
    "missing external": (3, "fc1.weight", lambda m: external(m, location="weights.bin")),
    "external outside": (3, "outside", lambda m: external(m, location="../secret.bin")),
    "external absolute": (3, "absolute", lambda m: external(m, location="/etc/hostname")),
    "external folder": (3, "fc1.weight", lambda m: external(m, location=".")),
    "external nowhere": (3, "fc1.weight", lambda m: external(m, location="")),
    "external short": (3, "fc1.weight", lambda m: external(m, location="old.json")),
    "external beyond": (
        3,
        "fc1.weight",
        lambda m: external(m, location="old.json", offset="0", length="99999999999"),
    ),
    "external windows": (3, "absolute", lambda m: external(m, location="C:\\secret.bin")),
    "external climbing": (3, "outside", lambda m: external(m, location="x\\..\\..\\secret.bin")),
    "external NUL": (3, "fc1.weight", lambda m: external(m, location="a\0b")),
    "external huge": (
        3,
        "needed",
        lambda m: external(m, location="old.json", offset="0", length=str(2**62)),
    ),
    "external shared by many": (3, "claim", share),
    "external before": (3, "fc1.weight", lambda m: external(m, location="old.json", offset="-5")),
    "external offset text": (3, "abc", lambda m: external(m, location="old.json", offset="abc")),
    "cycle": (3, "cycle", lambda m: node(m, "fc2").input.__setitem__(0, "lif3.spikes")),
    "self loop": (3, "cycle", lambda m: node(m, "lif2").input.__setitem__(0, "lif2.spikes")),
    "two neurons of one name": (3, "'lif1'", lambda m: setattr(node(m, "lif2"), "name", "lif1")),
    "computed twice": (
        3,
        "'fc3.output' is computed twice",
        lambda m: node(m, "fc2").output.__setitem__(0, "fc3.output"),
    ),
    "computed nowhere": (3, "'ghost'", lambda m: node(m, "fc2").input.__setitem__(0, "ghost")),
    "output from nowhere": (3, "'ghost'", lambda m: setattr(m.graph.output[0], "name", "ghost")),
    "no graph output": (3, "no output", lambda m: m.graph.ClearField("output")),
    "no graph input": (3, "'input'", lambda m: m.graph.ClearField("input")),
    "unnamed weight": (3, "unnamed", lambda m: setattr(tensor(m, "fc1.weight"), "name", "")),
    "short weight": (
        3,
        "'fc1.weight' is malformed",
        lambda m: setattr(tensor(m, "fc1.weight"), "raw_data", b"\0" * 100),
    ),
    "weight of no type": (
        3,
        "fc1.weight",
        lambda m: setattr(tensor(m, "fc1.weight"), "data_type", 0),
    ),
    "weight of type 99": (
        3,
        "fc1.weight",
        lambda m: setattr(tensor(m, "fc1.weight"), "data_type", 99),
    ),
    "weight of huge shape": (
        3,
        "fc1.weight",
        lambda m: tensor(m, "fc1.weight").dims.__setitem__(0, 2**50),
    ),
    "weight that does not fit": (
        3,
        "fc1",
        lambda m: replace(m, "fc1.weight", np.ones((64, 63), np.float32)),
    ),
    "threshold of integers": (
        3,
        "lif1",
        lambda m: replace(m, "lif1.v_threshold", np.ones(1, np.int64)),
    ),
    "threshold of nothing": (
        3,
        "lif1",
        lambda m: replace(m, "lif1.v_threshold", np.ones(0, np.float32)),
    ),
    "input without shape": (
        3,
        "'input'",
        lambda m: m.graph.input[0].type.tensor_type.ClearField("shape"),
    ),
    "input of strings": (
        3,
        "string",
        lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", TensorProto.STRING),
    ),
    "negative map": (3, "negative", lambda m: setattr(shape(m).dim[2], "dim_value", -8)),
    "map of 2**40": (3, "allocate", lambda m: setattr(shape(m).dim[2], "dim_value", 2**40)),
}


def cuts(data):
    """Return where a file is cut: its first bytes, inside headers and weights, its last byte."""
    return [1, 2, 10, 100, 1000, len(data) // 3, len(data) // 2, len(data) - 100, len(data) - 1]


@pytest.mark.parametrize("case", GRAPHS)
def test_hostile_graphs_are_refused(folder, case):
    code, words, change = GRAPHS[case]
    (folder / "bad.onnx").write_bytes(changed(change))
    said = refuses(folder, code, *CALIBRATE)
    assert any(word in said for word in words.split("|")), said
    refuses(folder, code, "inspect", "bad.onnx")
    refuses(folder, code, *IMPORT)


def test_files_that_are_no_models_are_refused(folder):
    whole = SOURCE.read_bytes()
    files = {f"cut at {k}": whole[:k] for k in cuts(whole)} | {
        "empty": b"",
        "text": b"not a model at all\n" * 50,
        "zip": (folder / "digits_test.npz").read_bytes(),
        "json": (folder / "digits_mlp.json").read_bytes(),
        "noise": np.random.default_rng(0).bytes(5000),
    }
    for name, data in files.items():
        (folder / "bad.onnx").write_bytes(data)
        for arguments in (("inspect", "bad.onnx"), CALIBRATE, IMPORT):
            said = refuses(folder, 3, *arguments)
            assert "bad.onnx is not an ONNX model" in said, name


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("no.onnx", "there is no model file no.onnx"),
        (".", "no regular file"),
        ("digits_mlp.json", "not an ONNX model"),
        ("old.json/x.onnx", "cannot be read"),
        ("n" * 300, "cannot be read"),
    ],
)
def test_paths_that_are_no_models_are_refused(folder, path, words):
    refuses(folder, 3, "inspect", path, says=[words])
    arguments = ("--calibration", "digits_mlp.json", "-o", "old.onnx", "-q")
    refuses(folder, 3, "convert", path, *arguments, says=[words])
    refuses(folder, 3, "eval", path, "--data", "digits_test.npz", "-q", says=[words])


def test_pipes_and_devices_are_not_waited_for(folder):
    import os

    if not hasattr(os, "mkfifo"):
        pytest.skip("no pipes here")
    os.mkfifo(folder / "pipe")
    refuses(folder, 3, "inspect", "pipe", says=["no regular file"])
    refuses(folder, 3, "inspect", "/dev/zero", says=["no regular file"])
    data = ("--data", "pipe", "-o", "old.json", "-q")
    refuses(folder, 3, "calibrate", "digits_mlp.onnx", *data, says=["regular file"])


def silence(model):
    for k in (1, 2, 3):
        replace(model, f"lif{k}.v_threshold", np.full(1, 1e9, np.float32))


def test_a_silent_network_is_refused(folder):
    (folder / "bad.onnx").write_bytes(changed(silence))
    refuses(folder, 5, *CALIBRATE, says=["silent", "'lif3'"])


def test_a_layer_that_never_fires_is_a_warning(folder):
    def quiet(model):
        first(model, "lif1.v_threshold", 1e9)

    (folder / "quiet.onnx").write_bytes(changed(quiet))
    data = ("--data", "digits_test.npz", "-q")
    ran = forked("calibrate", "quiet.onnx", *data, cwd=folder)
    assert (ran.code, ran.err) == (0, "warning: neuron 'lif1' never fired on these samples\n")


@pytest.mark.parametrize(("alpha", "shown"), [(1.5, "1.5"), (-0.25, "-0.25")])
def test_decays_outside_0_to_1_are_refused_by_convert(folder, alpha, shown):
    (folder / "bad.onnx").write_bytes(changed(lambda m: first(m, "lif1.alpha", alpha)))
    arguments = ("bad.onnx", "--data", "digits_test.npz", "-o", "bad.json", "-q")
    assert forked("calibrate", *arguments, cwd=folder).code == 0
    arguments = ("bad.onnx", "--calibration", "bad.json", "-o", "old.onnx", "-q")
    refuses(folder, 5, "convert", *arguments, says=[shown, "[0, 1]"])


def renamed(new):
    """Return a change that names a node, an input, an output, a weight and a value anew."""
    old = ("lif2", "input", "output", "fc1.weight", "fc2.0", "lif2.spikes")
    names = {name: f"{new}{k * ' '}{k}" for k, name in enumerate(old)}

    def change(model):
        for n in model.graph.node:
            n.name = names.get(n.name, n.name)
            for ports in (n.input, n.output):
                ports[:] = [names.get(port, port) for port in ports]
        for value in (*model.graph.initializer, *model.graph.input, *model.graph.output):
            value.name = names.get(value.name, value.name)

    return change


NAMES = {
    "quotes and slashes": "a'b\"c/d\\e`f$(g)%s{h}",
    "unicode": "\u8109\u51b2\U0001f9e0\u0301\ufeff",
    "line breaks": "lif\nerror: all is lost\r\n",
    "escapes": "\x1b[31mred\x1b[2J\x1b]0;title\x07",
    "markup": "[bold red]x[/bold red] [/] :smile:",
    "path": "../../../etc/passwd",
    "absolute path": "/abs/olute",
    "spaces": " ",
    "right to left": "\u202egnp.exe",
    "long": "n" * 50_000,
}


@pytest.mark.parametrize("name", NAMES)
def test_hostile_names_go_through_and_do_no_harm(folder, tmp_path, name):
    (folder / "odd.onnx").write_bytes(changed(renamed(NAMES[name])))
    outside = set(tmp_path.iterdir())
    inside = {path.name for path in folder.iterdir()}
    data = ("--data", "digits_test.npz", "--samples", "32")
    for arguments in (
        ("inspect", "odd.onnx"),
        ("import", "odd.onnx", "-o", "odd.canonical.onnx"),
        ("calibrate", "odd.onnx", *data, "-o", "odd.json"),
        ("convert", "odd.onnx", "--calibration", "odd.json", "-o", "odd.int.onnx"),
        ("eval", "odd.int.onnx", *data),
    ):
        ran = forked(*arguments, cwd=folder)
        assert ran.code == 0, ran
        assert (ran.out + ran.err).replace("\n", "").isprintable()
        assert not any(line.startswith("error") for line in (ran.out + ran.err).splitlines())
    made = {
        "odd.canonical.onnx",
        "odd.json",
        "odd.samples.npz",
        "odd.int.onnx",
        "odd.int.manifest.json",
    }
    assert {path.name for path in folder.iterdir()} == inside | made
    assert set(tmp_path.iterdir()) == outside


@pytest.mark.parametrize("name", ["line breaks", "escapes", "long"])
def test_hostile_names_in_messages_stay_on_one_line(folder, name):
    def change(model):
        node(model, "lif1").op_type = "Izhikevich"
        node(model, "lif1").name = NAMES[name]

    (folder / "bad.onnx").write_bytes(changed(change))
    said = refuses(folder, 3, "inspect", "bad.onnx", says=["Izhikevich", "newer snnquant"])
    assert len(said) < 2000


def test_integer_models_are_evaluated_not_quantized(folder):
    model = "digits_mlp.int.onnx"
    data = ("--data", "digits_test.npz", "-q")
    refuses(folder, 2, "calibrate", model, *data, "-o", "old.json", says=["integer model"])
    calibration = ("--calibration", "digits_mlp.json", "-q")
    refuses(folder, 2, "convert", model, *calibration, "-o", "old.onnx", says=["integer model"])
    refuses(folder, 2, "eval", model, *data, "--reference", model, says=["integer model"])


def test_damaged_integer_models_are_refused(folder):
    whole = (folder / "digits_mlp.int.onnx").read_bytes()
    data = ("--data", "digits_test.npz", "-q", "--samples", "8")
    for k in cuts(whole):
        (folder / "bad.onnx").write_bytes(whole[:k])
        refuses(folder, 3, "eval", "bad.onnx", *data)
    for change in (
        lambda m: node(m, "lif1").input.__delitem__(slice(3, None)),
        lambda m: node(m, "lif1").input.append("lif1.alpha"),
        lambda m: node(m, "lif1").ClearField("attribute"),
        lambda m: setattr(node(m, "lif1"), "op_type", "QIzhikevich"),
        lambda m: setattr(attribute(m, "state_bits"), "i", 64),
    ):
        model = onnx.ModelProto.FromString(whole)
        change(model)
        (folder / "bad.onnx").write_bytes(model.SerializeToString())
        for more in ((), ("--without-library",)):
            refuses(folder, 3, "eval", "bad.onnx", *data, *more, says=["'lif1'"])
        refuses(folder, 3, "inspect", "bad.onnx", says=["'lif1'"])


def test_strict_refuses_what_stays_float(folder):
    def soften(model):
        for name in ("lif2", "lif3"):
            assert node(model, name)
        made = helper.make_node("Sigmoid", ["fc2.output"], ["fc2.soft"], "soft")
        node(model, "fc2.0").input[0] = "fc2.soft"
        model.graph.node.insert(6, made)

    (folder / "soft.onnx").write_bytes(changed(soften))
    ran = forked("inspect", "soft.onnx", "-q", cwd=folder)
    assert ran.code == 0, ran
    ran = forked("inspect", "soft.onnx", "-q", "--strict", cwd=folder)
    assert ran.code == 3, ran
    assert ran.err.startswith("error: --strict: 1 nodes stay float, first Sigmoid 'soft'")
    shutil.copy(SOURCE, folder / "hard.onnx")
    assert forked("inspect", "hard.onnx", "--strict", cwd=folder).code == 0


def test_a_reshape_without_a_target_is_3(folder):
    def drop_target(model):
        node(model, "flatten").input.pop()

    (folder / "bad.onnx").write_bytes(changed(drop_target))
    refuses(folder, 3, *IMPORT)


def test_a_cast_of_nothing_is_3_where_operations_are_counted(folder):
    model = onnx.load(str(folder / "digits_mlp.int.onnx"))
    next(n for n in model.graph.node if n.op_type == "Cast").input.pop()
    onnx.save(model, str(folder / "bad.onnx"))
    evaluate = ("eval", "bad.onnx", "--data", "digits_test.npz", "--neurobench", "-q")
    refuses(folder, 3, *evaluate)


def test_steps_of_any_length_in_the_metadata_are_no_number(folder):
    def count_steps(model):
        for entry in model.metadata_props:
            if entry.key == "snnquant.timesteps":
                entry.value = "9" * 5000

    (folder / "long.onnx").write_bytes(changed(count_steps))
    ran = forked("inspect", "long.onnx", "--json", cwd=folder)
    assert ran.code == 0, ran
