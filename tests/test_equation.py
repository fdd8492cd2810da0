"""The text of a neuron says what its step does."""

import numpy as np
import pytest

from snnquant.neurons import CUBALIF, EXTENDEDLIF, LI, LIF, NEURONS, Reset
from snnquant.neurons.equation import equation_of

PLAIN = {"alpha": 0.9, "leak_bias": 0.0, "v_threshold": 1.0, "dv": 1.0, "v_reset": 0.0}
SOFT = {"reset": int(Reset.SOFT)}

CASES = {
    "hard reset": (
        LIF,
        PLAIN,
        {},
        ["h[t] = v[t-1] + x[t]", "s[t] = h[t] > 1", "v[t] = 0.9*(1 - s[t])*h[t]"],
    ),
    "hard reset to a value": (
        LIF,
        PLAIN | {"v_reset": -0.25, "leak_bias": -0.5},
        {"fire_on_equal": 1},
        [
            "h[t] = v[t-1] + x[t]",
            "s[t] = h[t] >= 1",
            "v[t] = 0.9*((1 - s[t])*h[t] + s[t]*-0.25) - 0.5",
        ],
    ),
    "soft reset after the leak": (
        LIF,
        PLAIN,
        SOFT | {"reset_after_leak": 1},
        ["h[t] = v[t-1] + x[t]", "s[t] = h[t] > 1", "v[t] = 0.9*h[t] - s[t]"],
    ),
    "no reset, nothing lost": (
        LIF,
        PLAIN | {"alpha": 1.0},
        {"reset": int(Reset.NONE)},
        ["h[t] = v[t-1] + x[t]", "s[t] = h[t] > 1", "v[t] = h[t]"],
    ),
    "several spikes": (
        LIF,
        PLAIN | {"dv": 0.5},
        SOFT | {"max_spikes": 4},
        [
            "h[t] = v[t-1] + x[t]",
            "s[t] = (h[t] > 1)*min(max(ceil((h[t] - 1)/0.5), 1), 4)",
            "v[t] = 0.9*(h[t] - s[t]*0.5)",
        ],
    ),
    "refractory": (
        LIF,
        PLAIN | {"refractory_steps": 2.0},
        {"refractory": 1},
        [
            "h[t] = v[t-1] + where(r[t-1] = 0, x[t], 0)",
            "s[t] = h[t] > 1",
            "v[t] = 0.9*(1 - s[t])*h[t]",
            "r[t] = (1 - s[t])*max(r[t-1] - 1, 0) + s[t]*2",
        ],
    ),
    "one value per neuron": (
        LIF,
        PLAIN | {"alpha": None},
        SOFT,
        ["h[t] = v[t-1] + x[t]", "s[t] = h[t] > 1", "v[t] = alpha*(h[t] - s[t])"],
    ),
    "synaptic current": (
        CUBALIF,
        PLAIN | {"alpha_syn": 0.5},
        SOFT,
        [
            "i[t] = 0.5*i[t-1] + x[t]",
            "h[t] = v[t-1] + i[t]",
            "s[t] = h[t] > 1",
            "v[t] = 0.9*(h[t] - s[t])",
        ],
    ),
    "adaptive threshold": (
        EXTENDEDLIF,
        PLAIN
        | {
            "v_min": -3.0e38,
            "threshold_decay": 0.5,
            "threshold_bias": 0.0,
            "threshold_increment": 0.25,
        },
        SOFT,
        [
            "h[t] = v[t-1] + x[t]",
            "s[t] = h[t] > 1 + a[t-1]",
            "v[t] = 0.9*(h[t] - s[t]*(1 + a[t-1]))",
            "a[t] = 0.5*a[t-1] + s[t]*0.25",
        ],
    ),
    "read-out": (
        LI,
        PLAIN | {"alpha_syn": 0.25},
        {"synaptic": 1},
        ["i[t] = 0.25*i[t-1] + x[t]", "h[t] = v[t-1] + i[t]", "v[t] = 0.9*h[t]", "output h[t]"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_text_of_a_neuron(case):
    neuron, values, choices, lines = CASES[case]
    assert list(equation_of(neuron, values, choices).lines) == lines


def test_only_what_is_read_is_listed():
    hard = equation_of(LIF, PLAIN, {}).parameters
    soft = equation_of(LIF, PLAIN, SOFT).parameters
    assert hard == {"alpha", "leak_bias", "v_threshold", "v_reset", "v_init"}
    assert soft == {"alpha", "leak_bias", "v_threshold", "dv", "v_init"}


def test_recurrent_spikes_join_the_current():
    lines = equation_of(LIF, PLAIN, {}, recurrent=True).lines
    assert lines[0] == "h[t] = v[t-1] + x[t] + W s[t-1]"


def run_text(lines, inputs, names):
    """Run the lines as Python over a current, every state starting at 0."""
    values = {name.removesuffix("[t]").replace("[t-1]", ""): 0.0 for name in names}
    outputs = []
    for x in inputs:
        now = dict(values)
        for line in lines:
            if line.startswith("output"):
                continue
            name, text = line.split(" = ", 1)
            code = text.replace("x[t]", "x").replace("[t-1]", "_before").replace("[t]", "_now")
            code = code.replace("_before = 0", "_before == 0")
            scope = {f"{k}_before": v for k, v in values.items()}
            scope |= {f"{k}_now": v for k, v in now.items()}
            scope |= {"x": x, "where": lambda c, a, b: a if c else b, "max": max, "min": min}
            scope["ceil"] = np.ceil
            now[name.removesuffix("[t]")] = float(eval(code, {"__builtins__": {}}, scope))
        values = now
        outputs.append(values["h"] if any(li.startswith("output") for li in lines) else values["s"])
    return outputs


@pytest.mark.parametrize("case", [name for name in CASES if name != "one value per neuron"])
def test_the_text_computes_what_the_neuron_computes(case):
    from snnquant.neurons.arithmetic import FloatArithmetic
    from snnquant.neurons.numpy_backend import NumpyBackend
    from snnquant.neurons.simulate import simulate

    neuron, values, choices, lines = CASES[case]
    current = np.random.default_rng(0).normal(0.4, 0.7, 60)
    held = {p.name: values.get(p.name, p.default or 0.0) for p in neuron.parameters}
    held["v_init"] = 0.0
    constants = {p.constant_name: np.array(held[p.name]) for p in neuron.parameters}
    expected, _, _ = simulate(
        neuron,
        FloatArithmetic(NumpyBackend()),
        current.reshape(60, 1, 1),
        constants,
        choices,
    )
    found = run_text(lines, current, ["h[t]", "s[t]", *(f"{s.name}[t]" for s in neuron.states)])
    np.testing.assert_allclose(found, expected[:, 0, 0], rtol=1e-9)
    assert neuron is LI or 0 < expected.sum() < 4 * 60


def test_every_neuron_has_a_text():
    for neuron in NEURONS:
        assert len(equation_of(neuron, {}, {}).lines) >= 2
