"""torch modules: neurons of snnTorch, SpikingJelly, Norse, sinabs and snnquant.nn become nodes.

A module is built by the user's own code (``options.factory``); weights come from a checkpoint,
which is read without running anything in it. Hand-written neurons are recognised from the
operations that they export as, like those of any ONNX file.

To add a framework: describe its neuron modules in a file such as ``norse.py``, one class that
extends :class:`~snnquant.frontends.torch.translation.Described`; list it in ``layers.FRAMEWORKS``;
name its package in :data:`snnquant.frontends.reading.FRAMEWORK_NAMES`.
"""

from __future__ import annotations

from pathlib import Path

from snnquant.errors import UsageError
from snnquant.frontends.reading import Reading, SourceOptions
from snnquant.frontends.torch.checkpoint import load_checkpoint
from snnquant.frontends.torch.convert import read_network
from snnquant.frontends.torch.factory import EXAMPLE_INPUT, build_module, quiet
from snnquant.frontends.torch.network import Example
from snnquant.frontends.torch.program import read_program

#: Suffix of programs that torch.export saved; all others are checkpoints.
PROGRAM = ".pt2"


def read(path: Path, options: SourceOptions) -> Reading:
    """Read a ``.pt2`` file, or the checkpoint of the module that ``options.factory`` builds.

    Raises:
        ModelError: it cannot be read, does not fit, or holds a neuron that has no counterpart.
        UsageError: an option is missing or does not fit.
    """
    if path.suffix.lower() == PROGRAM:
        with quiet():
            return read_program(path, options)
    if options.factory is None:
        raise UsageError(
            f"{path} holds weights, not a network; say what they belong to with "
            "--model package.module:factory"
        )
    return _read_factory(options.factory, path, options)


def read_module(options: SourceOptions) -> Reading:
    """Read the module that ``options.factory`` builds, with ``options.checkpoint`` if there is one.

    The shape of its input is ``options.input_shape``, else that of the tensor ``example_input``
    which the module, or the factory, has as an attribute.

    Raises:
        ModelError: as :func:`read`.
        UsageError: as :func:`read`.
    """
    if options.factory is None:
        raise UsageError("give the torch module with --model package.module:factory")
    return _read_factory(options.factory, options.checkpoint, options)


def _read_factory(name: str, checkpoint: Path | None, options: SourceOptions) -> Reading:
    module, shape = build_module(name)
    with quiet():
        if checkpoint is not None:
            load_checkpoint(module, checkpoint)
        reading = read_network(module, example_of(name, options, shape), name)
    if checkpoint is None:
        reading.notes.insert(0, "No checkpoint was given: the weights are those of the factory.")
    return reading


def example_of(name: str, options: SourceOptions, shape: tuple[int, ...] | None) -> Example:
    """Return the input of a module from the options and the shape that it tells itself.

    Raises:
        UsageError: no shape is known, or time does not fit it.
    """
    known = options.input_shape or shape
    if known is None:
        raise UsageError(
            f"the shape of the input of {name} is not known; give --input-shape, batch included, "
            f"or set {EXAMPLE_INPUT} on the module"
        )
    axis, steps = options.time_axis, options.timesteps
    if axis not in (None, 0, 1):
        raise UsageError(f"--time-axis is {axis}, must be 0 or 1")
    if axis is not None and len(known) < 2:
        raise UsageError(f"an input {list(known)} has no batch and time axis; give --input-shape")
    if axis is not None and steps is not None and known[axis] != steps:
        raise UsageError(
            f"--timesteps is {steps}, but the input {list(known)} has {known[axis]} steps at axis "
            f"{axis}; drop the option or correct --input-shape"
        )
    return Example(tuple(known), axis, steps)
