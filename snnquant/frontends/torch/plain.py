"""The other way: export all operations over time, and recognise the neurons in them."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np
import onnx
import torch

from snnquant.errors import ModelError
from snnquant.frontends.reading import Reading
from snnquant.frontends.torch.network import Example, Network
from snnquant.frontends.torch.proof import TRIALS
from snnquant.nn.export import export_float
from snnquant.runtime import load_session


def read_plainly(network: Network, example: Example, name: str, why: str) -> Reading:
    """Export a network with ordinary operations only, and let them be recognised.

    Args:
        network: the module; every run starts from fresh states.
        example: its input.
        name: for messages.
        why: the reason why its neurons cannot be exported as what they are.

    Raises:
        ModelError: torch cannot export it, it does not hold its states itself, or a neuron in it is
            not recognised.
    """
    # By name, so that the recogniser is loaded only where it is needed.
    read_proto: Callable[[onnx.ModelProto, str], Reading]
    read_proto = importlib.import_module("snnquant.frontends.onnx").read_proto
    with network.installed() as module:
        proto, _ = export_float(module, example.input(2), example.time_axis, True)
    _check_same(network, proto, example)
    try:
        reading = read_proto(proto, name)
    except ModelError as error:
        raise ModelError(f"{error} (recognised from its operations, since {why})") from error
    reading.notes.append(f"Neurons were recognised from their operations, since {why}.")
    return reading


def _check_same(network: Network, proto: onnx.ModelProto, example: Example) -> None:
    """Raise ModelError where the exported graph differs from the module: states that it keeps."""
    session = load_session(proto.SerializeToString(), custom_ops=False)
    entry = session.get_inputs()[0].name
    for number, (batch, gain) in enumerate(TRIALS[:2]):
        x = example.input(batch, gain, seed=number + 1)
        again = network(x)
        with torch.no_grad():
            wanted = network(x)
        found = session.run(None, {entry: x.numpy()})
        for first, second, array in zip(again, wanted, found, strict=True):
            if first.shape != second.shape or not torch.equal(first, second):
                raise ModelError(
                    "the network gives another output when it runs again: it keeps states between "
                    "runs; reset them at the start of forward"
                )
            share = np.isclose(array, second.numpy(), rtol=1e-4, atol=1e-5).mean()
            # A spike at a knife edge changes little; a wrong graph changes much.
            if array.shape != tuple(second.shape) or share < 0.9:
                raise ModelError(
                    "the exported graph computes another output than the network; reset all states "
                    "at the start of forward, and let no size depend on the batch"
                )
