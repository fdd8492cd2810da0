"""The structure that the code promises: layers, lazy imports, short files, full registries."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import snnquant
from snnquant.cli import VERBS
from snnquant.data import READERS
from snnquant.lowering import RULES
from snnquant.neurons import NEURONS
from snnquant.observers import OBSERVERS
from snnquant.passes import PASSES
from snnquant.rounding.weight_grid import GRIDS

ROOT = Path(snnquant.__file__).parent
README = Path(__file__).resolve().parents[1] / "README.md"
FILES = sorted(ROOT.rglob("*.py"))
MAX_LINES = 350

#: A module may import from its own layer and from lower ones.
LAYERS = [
    {"errors", "", "names", "progress", "interrupts"},
    {"numerics", "files", "external_data", "bound_json"},
    {"neurons", "rounding"},
    {"target", "targets", "ops", "data"},
    {"passes", "observers", "runtime", "model_file", "reference"},
    {"lowering", "fusion"},
    {
        "instrument",
        "input_values",
        "quantize",
        "quantize_options",
        "calibration",
        "collected",
        "partial",
        "spike_sums",
    },
    {"search", "bounds"},
    {"self_check", "bench"},
    {"stepping"},
    {"spike_counter", "connections", "membranes", "neurobench", "overflow_counter", "widths"},
    {"golden", "trace", "doctor", "manifest"},
    {
        "calibrate",
        "convert",
        "convert_model",
        "evaluate",
        "gates",
        "baseline",
        "pipeline",
        "report",
        "schemas",
    },
    {"analyze"},
    {"tune"},
    {"nn"},
    {"frontends"},
    {"inspection"},
    {"comparison"},
    {"cli", "__main__"},
]
LAYER_OF = {name: number for number, names in enumerate(LAYERS) for name in names}


def part_of(path):
    """Return the part of the package that a file belongs to."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return "" if parts == ("__init__",) else parts[0]


def imports(path, *, module_level=False):
    """Yield the names of the modules that a file imports, TYPE_CHECKING blocks aside."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    pending = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if module_level and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            module = node.module or ""
            if module == "snnquant":
                yield from (f"snnquant.{alias.name}" for alias in node.names)
            else:
                yield module
        pending.extend(ast.iter_child_nodes(node))


def test_all_files_are_looked_at():
    assert len(FILES) > 60
    assert {part_of(path) for path in FILES} == LAYER_OF.keys()


def test_the_readme_says_what_every_part_is():
    text = README.read_text(encoding="utf-8")
    table = text.split("\n## How the pieces fit\n")[1].split("\n\nA **canonical graph**")[0]
    named = {name for row in table.splitlines() for name in re.findall("`([^`]+)`", row)}
    folders = {path.name for path in ROOT.iterdir() if path.is_dir()}
    parts = {f"{part}/" if part in folders else f"{part}.py" for part in LAYER_OF}
    assert parts - {".py", "__main__.py"} <= named


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_downward(path):
    own = LAYER_OF[part_of(path)]
    lazy = path == ROOT / "__init__.py"
    for module in imports(path, module_level=lazy):
        if not module.startswith("snnquant."):
            continue
        part = module.split(".")[1]
        # `from snnquant import __version__` names no module.
        number = LAYER_OF[part] if not part.startswith("__version") else 0
        assert number <= own, f"{path.name} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_heavy_imports_have_one_home(path):
    everywhere = {name.split(".")[0] for name in imports(path)}
    assert "onnxruntime" not in everywhere or path.name == "runtime.py"
    at_import = {name.split(".")[0] for name in imports(path, module_level=True)}
    torch_is_home = part_of(path) == "nn" or ROOT / "frontends" / "torch" in path.parents
    assert "torch" not in at_import or torch_is_home
    h5py_is_home = part_of(path) == "frontends" or path.name == "shd_process.py"
    assert "h5py" not in everywhere or h5py_is_home
    if not torch_is_home:
        at_import = {name for name in imports(path, module_level=True)}
        assert not any(name.startswith("snnquant.nn") for name in at_import)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_are_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) < MAX_LINES


@pytest.mark.parametrize(
    ("registry", "least"),
    [
        (NEURONS, 4),
        (PASSES, 6),
        (RULES, 30),
        (OBSERVERS, 4),
        (GRIDS, 2),
        (READERS, 2),
        (VERBS, 5),
    ],
    ids=["NEURONS", "PASSES", "RULES", "OBSERVERS", "GRIDS", "READERS", "VERBS"],
)
def test_registries_are_full(registry, least):
    assert len(registry) >= least


def loaded_by(code, *arguments):
    """Return which heavy modules a fresh process has loaded after running ``code``."""
    report = (
        "import sys\n"
        f"{code}\n"
        "print('LOADED', *sorted({'torch', 'onnxruntime', 'onnx', 'onnxscript', 'numpy', 'h5py'} "
        "& set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", report, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=ROOT.parent,
    )
    assert result.returncode == 0, result.stderr
    return set(result.stdout.splitlines()[-1].split()[1:])


def test_importing_the_package_is_cheap():
    assert loaded_by("import snnquant; snnquant.__version__") == set()


def test_help_is_cheap():
    code = "from snnquant.cli.main import main\ntry:\n  main(['--help'])\nexcept SystemExit: pass"
    assert "torch" not in loaded_by(code)


def test_an_onnx_file_needs_no_torch(tmp_path):
    samples = Path(__file__).resolve().parents[1] / "samples"
    net, data = str(samples / "digits_mlp.onnx"), str(samples / "digits_calibration.npz")
    calibration, integers = str(tmp_path / "c.json"), str(tmp_path / "i.onnx")
    verbs = [
        ["inspect", net],
        ["import", net, "-o", str(tmp_path / "canonical.onnx")],
        ["calibrate", net, "--data", data, "--samples", "64", "-o", calibration],
        ["convert", net, "--calibration", calibration, "-o", integers],
        ["eval", integers, "--data", data, "--samples", "64", "--reference", net],
    ]
    code = (
        "from snnquant.cli.main import run\n"
        f"for verb in {verbs!r}:\n  code = run(verb)\n  assert not code, (code, verb)"
    )
    found = loaded_by(code)
    assert found == {"onnx", "onnxruntime", "numpy"}
