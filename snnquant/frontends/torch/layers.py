"""Which modules of a network are neurons of a framework, known by their classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from snnquant.errors import ModelError
from snnquant.frontends.reading import FRAMEWORK_NAMES
from snnquant.frontends.torch import norse, sinabs, snntorch, spikingjelly
from snnquant.frontends.torch.translation import Described


@dataclass(frozen=True)
class Framework:
    """The neurons of one framework.

    Attributes:
        package: where its classes are defined.
        described: class names, and what describes them.
        bases: class names whose subclasses are neurons, described or not.
    """

    package: str
    described: dict[str, type[Described]]
    bases: tuple[str, ...]

    @property
    def name(self) -> str:
        """What people call it."""
        return FRAMEWORK_NAMES[self.package.split(".")[0]]


FRAMEWORKS = (
    Framework(
        "snntorch._neurons",
        dict.fromkeys(snntorch.STATES, snntorch.SnnTorchNeuron),
        ("SpikingNeuron",),
    ),
    Framework(
        "spikingjelly.activation_based.neuron",
        dict.fromkeys(spikingjelly.KINDS, spikingjelly.SpikingJellyNeuron)
        | dict.fromkeys(spikingjelly.READ_OUTS, spikingjelly.SpikingJellyReadOut),
        ("BaseNode", "SimpleBaseNode", "NonSpikingBaseNode", "AdaptBaseNode"),
    ),
    Framework(
        "norse.torch.module",
        dict.fromkeys((*norse.CELLS, *norse.LAYERS), norse.NorseNeuron),
        ("SNNCell", "SNNRecurrentCell", "SNN", "SNNRecurrent"),
    ),
    Framework(
        "sinabs.layers",
        dict.fromkeys(sinabs.KINDS, sinabs.SinabsNeuron),
        ("StatefulLayer",),
    ),
)
#: What a subclass may define and still compute what its base does.
_HARMLESS = frozenset({"__init__", "__repr__", "extra_repr"})


@dataclass
class Layer:
    """One neuron module of a network.

    Attributes:
        path: name of the module.
        module: the module.
        described: what it computes.
    """

    path: str
    module: nn.Module
    described: Described


def neuron_layers(net: nn.Module) -> tuple[list[Layer], list[str]]:
    """Return the neurons that a network holds.

    Returns:
        The layers, in the order of the modules, and why others are none: their classes are not
        described here, or changed by the user, so that only their operations can tell what they
        compute.

    Raises:
        ModelError: a neuron whose options no neuron of ours expresses.
    """
    layers: list[Layer] = []
    others: list[str] = []
    for path, module in net.named_modules():
        found = _framework_class(type(module))
        if found is None:
            continue
        framework, base = found
        where = path or type(module).__name__
        name = f"module '{where}' ({framework.name} {base.__name__})"
        description = framework.described.get(base.__name__)
        if _overrides(type(module), base):
            others.append(f"the class of {name} changes what its framework's neuron does")
        elif description is None:
            others.append(f"{name} has no counterpart by its class")
        else:
            try:
                layers.append(Layer(path, module, description(module)))
            except ModelError as error:
                raise ModelError(f"{name}: {error}") from error
    return layers, others


def other_states(net: nn.Module, layers: Sequence[Layer]) -> list[nn.Module]:
    """Return modules beside the neurons that keep a state from call to call (SpikingJelly's)."""
    neurons = {id(layer.module) for layer in layers}
    return [m for m in net.modules() if hasattr(m, "_memories") and id(m) not in neurons]


def _framework_class(kind: type) -> tuple[Framework, type] | None:
    """Return the first class of a framework that a class is or extends, if it is a neuron."""
    for base in kind.__mro__:
        for framework in FRAMEWORKS:
            if not base.__module__.startswith(framework.package):
                continue
            names = {c.__name__ for c in base.__mro__ if c.__module__.startswith(framework.package)}
            if base.__name__ in framework.described or names.intersection(framework.bases):
                return framework, base
    return None


def _overrides(kind: type, base: type) -> bool:
    """Return whether a user's class changes what its framework's class does."""
    own = kind.__mro__[: kind.__mro__.index(base)]
    return any(
        callable(value) and name not in _HARMLESS
        for cls in own
        for name, value in vars(cls).items()
    )
