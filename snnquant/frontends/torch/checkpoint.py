"""Loads a state dict into a module without running anything that the file says."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from snnquant.errors import ModelError, first_line
from snnquant.frontends.torch.layers import neuron_layers
from snnquant.frontends.torch.safetensors import read_safetensors
from snnquant.frontends.torch.sinabs import STATE_BUFFERS

#: Under which names training scripts keep the state dict beside optimizer and epoch.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
_PREFIX = "module."


def load_checkpoint(module: nn.Module, path: Path) -> None:
    """Load weights from a .pt, .pth or .safetensors file.

    A state dict under ``state_dict`` (``model_state_dict``, ``model``, ``net``) and names with the
    prefix ``module.`` of ``DataParallel`` are understood. States that a framework saves with the
    weights, such as sinabs' membranes, are left out: every run starts anew.

    Raises:
        ModelError: the file cannot be read without running code in it, or does not fit.
    """
    held = read_safetensors(path) if path.suffix.lower() == ".safetensors" else _read_torch(path)
    state = _state_dict(held, path)
    wanted = module.state_dict()
    states = _state_names(module)
    given = {name: value for name, value in state.items() if name not in states}
    needed = {name: value for name, value in wanted.items() if name not in states}
    where = f"{path} does not fit {type(module).__name__}"
    if missing := [name for name in needed if name not in given]:
        raise ModelError(f"{where}: it has no {_some(missing)}; build the module as it was trained")
    if unknown := [name for name in given if name not in needed]:
        raise ModelError(
            f"{where}: it has {_some(unknown)} besides; build the module as it was trained"
        )
    for name, value in given.items():
        if value.shape != needed[name].shape:
            raise ModelError(
                f"{where}: {name} has shape {list(value.shape)}, the module "
                f"{list(needed[name].shape)}; build the module as it was trained"
            )
    # Only here may a state keep the shape of another batch: it is not loaded.
    module.load_state_dict(given, strict=False)


def _state_names(module: nn.Module) -> set[str]:
    """Return names of buffers that hold states of neurons."""
    layers, _ = neuron_layers(module)
    names: set[str] = set()
    for layer in layers:
        prefix = f"{layer.path}." if layer.path else ""
        for buffer in layer.module._buffers:
            if layer.described.layout == 1 and buffer in (*STATE_BUFFERS, "spike_threshold"):
                names.add(f"{prefix}{buffer}")
    return names


def _read_torch(path: Path) -> Any:
    try:
        if not path.is_file():
            raise ModelError(f"there is no checkpoint {path}; check the path")
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path} holds more than weights, and loading it would run code; "
            "save model.state_dict() instead"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"{path} is no torch checkpoint: {first_line(error)}; save it again"
        ) from error


def _state_dict(held: Any, path: Path) -> dict[str, Tensor]:
    """Return the state dict in what a file holds."""
    if isinstance(held, Mapping):
        for name in _WRAPPERS:
            if isinstance(held.get(name), Mapping):
                held = held[name]
                break
    if not isinstance(held, Mapping) or not held:
        raise ModelError(f"{path} holds no state dict; save model.state_dict()")
    state = {str(name): value for name, value in held.items()}
    if not all(isinstance(value, Tensor) for value in state.values()):
        wrong = next(name for name, value in state.items() if not isinstance(value, Tensor))
        raise ModelError(f"{path}: '{wrong}' is no tensor; save model.state_dict()")
    if all(name.startswith(_PREFIX) for name in state):
        state = {name.removeprefix(_PREFIX): value for name, value in state.items()}
    return state


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    return ", ".join(listed[:3]) + more
