"""What holds where several sources say something, and what the schema says of the options."""

from pathlib import Path
from types import MappingProxyType

import click
import jsonschema
import pytest

from snnquant.cli import VERBS, Inherited, Verb
from snnquant.cli.configuration.environment import OTHERS, read_variables, variable_names
from snnquant.cli.configuration.files import preset_names, preset_path, read_settings
from snnquant.cli.configuration.keys import canonical_keys, keys_of
from snnquant.cli.configuration.layers import Configuration
from snnquant.cli.configuration.load import all_keys, configured_verbs
from snnquant.cli.configuration.schema import PRESET_KEY, settings_schema, wanted
from snnquant.cli.group import load_command
from snnquant.errors import UsageError


@pytest.fixture(scope="module")
def keys():
    return all_keys(load_command)


def configure(verbs, files=(), presets=(), variables=MappingProxyType({})):
    """Return what is configured for made-up verbs, each with its command."""
    return Configuration(
        [verb for verb, _ in verbs],
        {verb.name: keys_of(command) for verb, command in verbs},
        files=files,
        presets=presets,
        variables=variables,
    )


def command(*options):
    return click.Command("", params=[click.Option(*option) for option in options])


MEASURE = (Verb("measure", "", ""), command((["--size"],), (["--limit"],), (["-o", "--out"],)))
CUT = (Verb("cut", "", ""), command((["--size"],), (["--edge"],), (["-o", "--out"],)))
BOTH = (
    Verb(
        "both",
        "",
        "",
        inherits=(
            Inherited("measure", {"out": None, "limit": "measure-limit"}),
            Inherited("cut"),
            Inherited("not-there"),
        ),
    ),
    command((["--size"],), (["--edge"],), (["--measure-limit"],), (["-o", "--out"],)),
)


def values(configuration, verb):
    return {key: setting.value for key, setting in configuration.of_verb(verb).items()}


def test_each_source_holds_above_the_one_before(tmp_path):
    sources = ["preset", "pyproject", "settings", "variable"]
    texts = {
        # The keys that a source says are named for the strongest that says them.
        name: "\n".join(f'k{later} = "{name}"' for later in range(place, len(sources)))
        for place, name in enumerate(sources)
    }
    (tmp_path / "own.toml").write_text(texts["preset"])
    (tmp_path / "pyproject.toml").write_text("[tool.snnquant]\n" + texts["pyproject"])
    (tmp_path / "snnquant.toml").write_text(texts["settings"])
    options = [([f"--k{place}"],) for place in range(5)]
    found = configure(
        [(Verb("verb", "", ""), command(*options))],
        files=[tmp_path / "pyproject.toml", tmp_path / "snnquant.toml"],
        presets=[str(tmp_path / "own.toml")],
        variables={"SNNQUANT_K3": "variable"},
    ).of_verb("verb")
    assert {key: setting.value for key, setting in found.items()} == {
        f"k{place}": name for place, name in enumerate(sources)
    }
    assert found["k2"].place == f"{tmp_path / 'snnquant.toml'}: k2"
    assert found["k3"].origin == "SNNQUANT_K3"


def test_a_table_holds_above_the_keys_of_all_verbs_within_one_source(tmp_path):
    (tmp_path / "snnquant.toml").write_text("size = 'all'\n[measure]\nsize = 'one'\n")
    files = [tmp_path / "snnquant.toml"]
    found = configure([MEASURE, CUT], files)
    assert values(found, "measure") == {"size": "one"}
    assert values(found, "cut") == {"size": "all"}
    # A stronger source holds above the table of a weaker one.
    found = configure([MEASURE, CUT], files, variables={"SNNQUANT_SIZE": "set"})
    assert values(found, "measure") == {"size": "set"}
    both = {"SNNQUANT_SIZE": "set", "SNNQUANT_MEASURE_SIZE": "own"}
    assert values(configure([MEASURE, CUT], files, variables=both), "measure") == {"size": "own"}


def test_a_verb_inherits_tables_below_its_own(tmp_path):
    text = """
    [measure]
    size = "1"
    limit = "7"
    out = "measured"
    [cut]
    size = "2"
    edge = "3"
    """
    (tmp_path / "snnquant.toml").write_text(text)
    files = [tmp_path / "snnquant.toml"]
    assert values(configure([MEASURE, CUT, BOTH], files), "both") == {
        "size": "2",
        "edge": "3",
        "measure-limit": "7",
    }
    (tmp_path / "snnquant.toml").write_text(f"size = '0'\n{text}\n[both]\nedge = '4'\nout = 'o'\n")
    assert values(configure([MEASURE, CUT, BOTH], files), "both") == {
        "size": "2",
        "edge": "4",
        "measure-limit": "7",
        "out": "o",
    }
    found = configure([MEASURE, CUT, BOTH], variables={"SNNQUANT_CUT_EDGE": "9"})
    assert values(found, "both") == {"edge": "9"}


def test_shipped_verbs_inherit_what_is_there(keys):
    for verb in VERBS:
        for inherited in verb.inherits:
            assert inherited.keys.keys() <= keys[inherited.verb].keys()
            named = {inherited.keys.get(key, key) for key in keys[inherited.verb]}
            assert named - {None} <= keys[verb.name].keys()


@pytest.mark.parametrize("name", preset_names())
def test_presets_are_settings(name, keys):
    schema = settings_schema(keys)
    table = read_settings(preset_path(name, None))
    assert table
    jsonschema.Draft202012Validator(schema).validate(table)
    assert PRESET_KEY not in table
    for verb, settings in table.items():
        for key in settings:
            # A relative path would begin in the folder of the package.
            assert not isinstance(keys[verb][key].type, click.Path)


def test_the_schema_describes_every_option(keys):
    schema = settings_schema(keys)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert keys.keys() == {verb.name for verb in configured_verbs()}
    for verb, parameters in keys.items():
        described = schema["properties"][verb]["properties"]
        assert described.keys() == parameters.keys()
        command = load_command(next(v for v in VERBS if v.name == verb))
        options = [p for p in command.params if isinstance(p, click.Option)]
        # Every option but --help is a setting, and MODEL.
        assert len(options) == len(parameters) - ("model" in parameters)
        for key, entry in described.items():
            assert wanted(entry)
            if key != "model":
                assert entry["description"]
            if "default" in entry:
                jsonschema.Draft202012Validator(entry).validate(entry["default"])
    convert = schema["properties"]["convert"]["properties"]
    assert convert["weight-bits"] == {
        "type": "integer",
        "minimum": 2,
        "maximum": 8,
        "description": "Width of weights. [default: the target's]",
    }
    assert convert["per-channel"]["type"] == "boolean"
    assert convert["per-channel"]["description"].endswith("false: --per-tensor.")
    assert convert["readout-as"]["enum"] == ["float", "int"]
    assert schema["properties"]["export"]["properties"]["step"]["exclusiveMinimum"] == 0
    assert schema["properties"]["calibrate"]["properties"]["input"]["type"] == "array"


def test_the_file_in_the_readme_is_one(keys, tmp_path):
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    section = readme.split("\n### Configuration\n")[1].split("\n### ")[0]
    (tmp_path / "snnquant.toml").write_text(section.split("```toml\n")[1].split("```")[0])
    found = Configuration(
        configured_verbs(), keys, files=[tmp_path / "snnquant.toml"], presets=(), variables={}
    )
    settings = values(found, "eval")
    assert settings["model"] == str(tmp_path / "net.int.onnx")
    assert (settings["max-drop"], settings["min-agreement"]) == (0.02, 0.95)
    assert values(found, "convert")["per-channel"] is False
    assert values(found, "calibrate")["method"] == "mse"


def test_no_name_means_two_things(keys):
    top = {key for parameters in keys.values() for key in parameters}
    assert not top & keys.keys()
    assert PRESET_KEY not in top
    names = variable_names(keys)
    assert len(names) == len(top) + sum(map(len, keys.values()))
    assert not names.keys() & set(OTHERS)
    for parameters in keys.values():
        # One key, one parameter, under whichever of its two spellings.
        assert len(canonical_keys(parameters)) == len(parameters)


def test_the_argument_and_the_option_model_have_different_keys(keys):
    for verb in ("inspect", "import", "calibrate", "convert", "eval", "export"):
        assert isinstance(keys[verb]["model"], click.Argument)
        assert keys[verb]["factory"].opts == ["--model"]


def test_variables_of_others_and_of_tests_are_let_be(keys):
    from snnquant.cli.configuration.environment import set_variables

    environment = dict.fromkeys([*OTHERS, "SNNQUANT_TEST_X", "PATH"], "1")
    assert set_variables(environment | {"SNNQUANT_SAMPLES": ""}) == {}
    assert set_variables({"SNNQUANT_X": "1"}) == {"SNNQUANT_X": "1"}
    with pytest.raises(UsageError, match="SNNQUANT_SAMPLE is no setting; did you mean"):
        read_variables({"SNNQUANT_SAMPLE": "1"}, keys)


def test_variables_become_flags_and_lists():
    verb = click.Command(
        "",
        params=[
            click.Option(["--on/--off"]),
            click.Option(["--many"], multiple=True),
            click.Option(["--files"], multiple=True, type=click.Path()),
        ],
    )
    made = [(Verb("verb", "", ""), verb)]
    given = {"SNNQUANT_ON": "no", "SNNQUANT_MANY": "a b", "SNNQUANT_VERB_FILES": "x y"}
    assert values(configure(made, variables=given), "verb") == {
        "on": False,
        "many": ["a", "b"],
        "files": ["x y"],
    }
    with pytest.raises(UsageError, match="SNNQUANT_ON is 'maybe'; give true or false"):
        configure(made, variables={"SNNQUANT_ON": "maybe"}).of_verb("verb")
