"""One file with a quantized model: real parameters, integers, scales and statistics.

It is a zip of plain arrays (as of ``numpy.savez``) whatever its name; ``snnquant.json`` among them
is a text in bytes. Nothing in it is code, and reading it runs none.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from snnquant import __version__
from snnquant.calibration import AUTO
from snnquant.data.npz import load_arrays
from snnquant.errors import DataError, ModelError, SnnquantError
from snnquant.files import atomic_write
from snnquant.lowering.integers import SynapseIntegers
from snnquant.nn.layer import NeuronLayer
from snnquant.nn.quantized.collecting import Collected
from snnquant.nn.quantized.link import q_modules
from snnquant.nn.quantized.mode import Mode
from snnquant.nn.quantized.neuron import QNeuron
from snnquant.nn.quantized.running import NeuronSettings
from snnquant.nn.quantized.stored import check_layer
from snnquant.nn.quantized.synapse import QSynapse, SynapseSettings
from snnquant.observers import OBSERVERS, TensorStatistics
from snnquant.quantize_options import QuantizeOptions, choose_options
from snnquant.target import parse_target, target_table

if TYPE_CHECKING:
    from snnquant.nn.quantized.model import QModel

SCHEMA = "snnquant.model/1"
_TEXT = "snnquant.json"
_STATE, _INTEGERS, _SCALES = "state/", "integers/", "scales/"
Arrays = dict[str, Any]


@dataclass(frozen=True)
class Loaded:
    """What a file says besides what went into the layers."""

    options: QuantizeOptions
    collected: Collected | None


def save(
    model: QModel,
    options: QuantizeOptions,
    collected: Collected | None,
    path: str | os.PathLike[str],
) -> None:
    """Write a quantized model.

    Args:
        model: in quantized mode.
        options: its target and widths.
        collected: statistics to keep, if there are any.
        path: file to write.

    Raises:
        UsageError: the file cannot be written.
    """
    for module in q_modules(model).values():
        module.check_unchanged()
    arrays: Arrays = {}
    for name, tensor in model.state_dict().items():
        kept = tensor.detach().cpu()
        arrays[_STATE + name] = (kept.float() if kept.dtype == torch.bfloat16 else kept).numpy()
    layers: dict[str, Any] = {}
    for path_in_model, module in q_modules(model).items():
        if isinstance(module, QSynapse) and module.settings is not None:
            layers[path_in_model] = _store_synapse(path_in_model, module, arrays)
        elif isinstance(module, QNeuron):
            layers[path_in_model] = [
                _store_neuron(f"{path_in_model}/{index}", module, entry, arrays)
                for index, entry in enumerate(module.settings.values())
            ]
    document = {
        "schema": SCHEMA,
        "tool": f"snnquant {__version__}",
        "structure": structure(model),
        "target": {"name": options.target.name, **target_table(options.target)},
        "weight_bits": options.weight_bits,
        "input_bits": options.input_bits,
        "per_channel": options.per_channel,
        "layers": layers,
        "collected": None if collected is None else _stored_statistics(collected),
    }
    text = json.dumps(document, allow_nan=False).encode()
    buffer = io.BytesIO()
    arrays[_TEXT] = np.frombuffer(text, np.uint8)
    np.savez(buffer, **arrays)
    atomic_write(path, buffer.getvalue())


def structure(model: nn.Module) -> list[list[str]]:
    """Return what must agree between a file and the model that it is loaded into."""
    found = []
    for path, module in model.named_modules():
        if isinstance(module, QNeuron):
            detail = json.dumps(module.choices, sort_keys=True)
        elif path and not any(True for _ in module.children()):
            detail = module.extra_repr()
        else:
            continue
        found.append([path, type(module).__name__, detail])
    return found


def _store_synapse(path: str, module: QSynapse, arrays: Arrays) -> dict[str, Any]:
    settings = module.settings
    if settings is None or module.weight_integers is None or module.bias_integers is None:
        raise RuntimeError(f"{module.label} has no integers")
    arrays[f"{_INTEGERS}{path}/weight"] = module.weight_integers.cpu().numpy()
    arrays[f"{_INTEGERS}{path}/bias"] = module.bias_integers.cpu().numpy()
    arrays[_SCALES + path] = settings.scale
    return {k: v for k, v in vars(settings).items() if k != "scale"}


def _store_neuron(
    key: str, module: QNeuron, settings: NeuronSettings, arrays: Arrays
) -> dict[str, Any]:
    for name, tensor in module.held(settings.group).items():
        arrays[f"{_INTEGERS}{key}/{name}"] = tensor.cpu().numpy()
    arrays[_SCALES + key] = settings.scale
    return {k: v for k, v in vars(settings).items() if k not in ("scale", "target")}


def _stored_statistics(collected: Collected) -> dict[str, Any]:
    return {
        "first": collected.first.to_json(),
        "inputs": {path: s.to_json() for path, s in collected.inputs.items()},
        "rates": collected.rates,
        "method": collected.method,
    }


def load(model: QModel, path: str | os.PathLike[str]) -> Loaded:
    """Read a file into a model of the same structure, all of it or nothing.

    Args:
        model: filled, and put into quantized mode.
        path: file that :func:`save` wrote.

    Raises:
        ModelError: no such file, not such a file, or of another model or version.
    """
    file = Path(path)
    if not file.is_file():
        raise ModelError(f"there is no file {file}; save_quantized_model() writes one")
    try:
        arrays = load_arrays(file)
        document = _document(arrays, file)
        _check_structure(model, document, file)
        loaded, made = _parse(model, document, arrays)
        for layer in made:
            check_layer(*layer)
        state = {n.removeprefix(_STATE): a for n, a in arrays.items() if n.startswith(_STATE)}
        _load_state(model, state)
    except ModelError:
        raise
    except DataError as error:
        raise ModelError(f"{file} is not a quantized model: {error}") from error
    except (
        *(ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError),
        SnnquantError,
    ) as error:
        reason = str(error).strip().split("\n")[-1].strip()
        raise ModelError(
            f"{file} is damaged ({type(error).__name__}: {reason}); save the model again"
        ) from error
    for module in q_modules(model).values():
        module.dequantize()
        module.mode = Mode.QUANTIZED
    for module, settings, integers in made:
        module.quantize(settings, Mode.QUANTIZED, integers)
    return loaded


def _load_state(model: nn.Module, state: Mapping[str, Any]) -> None:
    """Load real parameters and buffers, all of them or none."""
    own = model.state_dict()
    if wrong := sorted(set(own) ^ set(state)):
        raise ValueError(f"the model and the file do not both have '{wrong[0]}'")
    tensors = {name: torch.from_numpy(array.copy()) for name, array in state.items()}
    for name, tensor in tensors.items():
        if tensor.shape != own[name].shape:
            raise ValueError(f"'{name}' has shape {list(tensor.shape)}")
        if (tensor.is_floating_point(), tensor.is_complex()) != (
            own[name].is_floating_point(),
            own[name].is_complex(),
        ):
            raise ValueError(f"'{name}' has the type {tensor.dtype}")
    before = {name: tensor.detach().clone() for name, tensor in own.items()}
    try:
        nn.Module.load_state_dict(model, tensors)
        for module in q_modules(model).values():
            if isinstance(module, QSynapse):
                module.real_weights()
            elif isinstance(module, QNeuron):
                module.real_parameters()
                module.real_recurrent_weight()
    except SnnquantError:
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(before[name])
        for layer in model.modules():
            if isinstance(layer, NeuronLayer):
                layer._use_refractory()
        raise


def _document(arrays: Arrays, file: Path) -> dict[str, Any]:
    if _TEXT not in arrays:
        raise ModelError(f"{file} is not a quantized model; save_quantized_model() writes one")
    document = json.loads(arrays[_TEXT].tobytes().decode())
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        found = document.get("schema") if isinstance(document, dict) else None
        raise ModelError(
            f"{file} has the schema {found!r}, this version reads {SCHEMA}; "
            "save the model again with this version"
        )
    return document


def _check_structure(model: nn.Module, document: Mapping[str, Any], file: Path) -> None:
    """Raise for a file of another model, naming the first layer that differs."""
    norms = any(isinstance(module, _BatchNorm) for module in model.modules())
    remedy = "; the saved model was fused: call fuse_conv_bn(model.eval()) first" * norms
    stored = [tuple(entry) for entry in document["structure"]]
    own = [tuple(entry) for entry in structure(model)]
    for mine, theirs in zip(own, stored, strict=False):
        if mine != theirs:
            raise ModelError(
                f"{file} is of another model: it has {theirs[1]} '{theirs[0]}' ({theirs[2]}) where "
                f"this one has {mine[1]} '{mine[0]}' ({mine[2]}){remedy}"
            )
    if len(own) != len(stored):
        raise ModelError(
            f"{file} is of another model: it has {len(stored)} layers, "
            f"this one has {len(own)}{remedy}"
        )


def _parse(
    model: nn.Module, document: Mapping[str, Any], arrays: Arrays
) -> tuple[Loaded, list[tuple[Any, Any, Any]]]:
    table = dict(document["target"])
    target = parse_target(Path(f"{table.pop('name')}.toml"), table)
    widths = document["weight_bits"], document["input_bits"]
    if [type(bits) for bits in widths] != [int, int] or type(document["per_channel"]) is not bool:
        raise TypeError("its options are of another type")
    options = choose_options(target, *widths, document["per_channel"])
    made: list[tuple[Any, Any, Any]] = []
    modules = q_modules(model)
    for path, stored in document["layers"].items():
        module = modules[path]
        if not isinstance(module, (QSynapse, QNeuron)):
            raise TypeError(f"{module.label} has no integers")
        if isinstance(module, QSynapse):
            settings = SynapseSettings(scale=arrays[_SCALES + path].copy(), **stored)
            weight, bias = (arrays[f"{_INTEGERS}{path}/{part}"] for part in ("weight", "bias"))
            if (weight.dtype, bias.dtype) != (np.int8, np.int64):
                raise TypeError(f"{module.label} has integers of another type")
            integers = SynapseIntegers(
                weight.astype(np.int64), settings.gain, bias, settings.scale, 0
            )
            made.append((module, settings, integers))
            continue
        if not isinstance(stored, list):
            raise TypeError(f"what {module.label} has is no list")
        uses, constants = [], {}
        for index, entry in enumerate(stored):
            key = f"{path}/{index}"
            uses.append(NeuronSettings(scale=arrays[_SCALES + key].copy(), target=target, **entry))
            prefix = f"{_INTEGERS}{key}/"
            constants[uses[-1].group] = {
                name.removeprefix(prefix): array
                for name, array in arrays.items()
                if name.startswith(prefix)
            }
        made.append((module, uses, constants))
    return Loaded(options, _read_statistics(document["collected"])), made


def _read_statistics(stored: Mapping[str, Any] | None) -> Collected | None:
    if stored is None:
        return None
    if stored["method"] not in (AUTO, *OBSERVERS):
        raise ValueError(f"its observer is {stored['method']!r}")
    return Collected(
        first=TensorStatistics.from_json("input", stored["first"]),
        inputs={p: TensorStatistics.from_json(p, s) for p, s in stored["inputs"].items()},
        rates={str(p): float(r) for p, r in stored["rates"].items()},
        method=str(stored["method"]),
    )
