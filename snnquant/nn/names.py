"""The names of parameters: the seed framework's own beside the field's, one to one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeVar

from snnquant.errors import UsageError

T = TypeVar("T")

#: The seed framework's name of each parameter, and ours (NIR's where NIR has one).
SEED_NAMES: dict[str, str] = {
    "v_th_0": "v_threshold",
    "v_leaky_alpha": "alpha",
    "v_leaky_beta": "leak_bias",
    "v_reset": "v_reset",
    "v_init": "v_init",
    "v_l": "v_min",
    "dv": "dv",
    "ref_len": "refractory_steps",
    "v_th_alpha": "threshold_decay",
    "v_th_beta": "threshold_bias",
    "v_th_incre": "threshold_increment",
}


def field_names(
    values: Mapping[str, T],
    class_name: str,
    parameters: Collection[str],
    options: Collection[str] = (),
) -> dict[str, T]:
    """Return ``values`` under the field's names.

    Args:
        values: keywords as the user gave them.
        class_name: class that the user called, for errors.
        parameters: the field's names of what the class takes.
        options: other keywords of the class, which its constructor has taken out.

    Raises:
        UsageError: a name is unknown, or one parameter is given under both of its names.
    """
    renamed: dict[str, T] = {}
    for given, value in values.items():
        name = SEED_NAMES.get(given, given)
        if name not in parameters:
            known = ", ".join([*parameters, *options]) or "no parameters"
            raise UsageError(f"{class_name} has no parameter {given}; it takes {known}")
        if name in renamed:
            other = next(n for n in values if SEED_NAMES.get(n, n) == name)
            raise UsageError(
                f"{class_name}: {other} and {given} are two names of one parameter; give one"
            )
        renamed[name] = value
    return renamed
