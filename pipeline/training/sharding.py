"""Divide a model among the processes of a training (PyTorch's FSDP2), and put it together again.

Each process holds a part of every weight, of its gradient and of AdamW's moments. A layer is whole
only while it computes: its parts are gathered from all processes. So all of them must call the
model equally often.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME
from transformers.utils import SAFE_WEIGHTS_NAME

from pipeline.training.processes import Processes

_FULL_OPTIMIZER = "optimizer-full.pt"
"""A checkpoint's optimizer under a name that the Trainer does not load: it would load all of it
onto each device."""
_FULL = StateDictOptions(full_state_dict=True, cpu_offload=True)


def shard(weights: Any, processes: Processes, device: str) -> float:
    """Divide weights among all processes, in place; return the share that this process holds.

    All processes must call this, with the same weights.
    """
    mesh = init_device_mesh(device, (processes.count,))
    for block in _find_blocks(weights):
        fully_shard(block, mesh=mesh)
    fully_shard(weights, mesh=mesh, reshard_after_forward=True)
    # the Trainer then leaves placement and the reduction of gradients to the model
    weights._is_distributed_loading_by_transformers = True  # noqa: SLF001  as `from_pretrained` does
    weights.load_state_dict = partial(_load_full, weights, weights.load_state_dict)
    parameters = list(weights.parameters())
    own = sum(one.to_local().numel() for one in parameters)
    return float(own / sum(one.numel() for one in parameters))


def _find_blocks(weights: Any) -> Iterator[Any]:
    """Yield the layers, which are the members of the outermost lists of modules."""
    for child in weights.children():
        if isinstance(child, torch.nn.ModuleList):
            yield from child
        else:
            yield from _find_blocks(child)


def gather(weights: Any, processes: Processes) -> Any:
    """Return the whole model on the CPU in the main process, None in the others.

    All processes must call this.
    """
    state = get_model_state_dict(weights, options=_FULL)
    if not processes.is_main:
        return None
    kind: Any = next(one for one in type(weights).__mro__ if not issubclass(one, FSDPModule))
    whole = kind(weights.config)
    whole.load_state_dict(state)
    whole.generation_config = weights.generation_config
    return whole


def save_checkpoint(
    weights: Any, optimizer: Any, scheduler: Any, folder: Path, processes: Processes
) -> None:
    """Write whole weights and the optimizer's whole state, as a training in one process does.

    All processes must call this.
    """
    state: Any = get_model_state_dict(weights, options=_FULL)

    def collect(part: Any) -> Any:
        whole = part.full_tensor()
        return whole.cpu() if processes.is_main else None  # the others need no memory for it

    moments = _map_tensors(optimizer.state_dict(), collect)
    if processes.is_main:
        folder.mkdir(parents=True, exist_ok=True)
        unique = {tensor.data_ptr(): name for name, tensor in reversed(state.items())}  # not tied
        save_file({name: state[name] for name in unique.values()}, folder / SAFE_WEIGHTS_NAME)
        torch.save(moments, folder / _FULL_OPTIMIZER)
        torch.save(scheduler.state_dict(), folder / SCHEDULER_NAME)
    processes.wait()


def prepare_checkpoint(checkpoint: Path, processes: Processes) -> None:
    """Give a checkpoint's optimizer the name under which this training looks for it.

    All processes must call this.
    """
    names = [_FULL_OPTIMIZER, OPTIMIZER_NAME]
    found, wanted = reversed(names) if processes.shards else names
    if processes.is_main and (checkpoint / found).is_file():
        (checkpoint / found).replace(checkpoint / wanted)
    processes.wait()


class OptimizerLoader(transformers.TrainerCallback):
    """Loads a process's part of a checkpoint's optimizer when a training is resumed."""

    def __init__(self, checkpoint: Path) -> None:
        self._checkpoint = checkpoint

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Load the optimizer and the position in the learning rate's schedule."""
        optimizer, scheduler = given["optimizer"], given["lr_scheduler"]
        values = torch.load(self._checkpoint / _FULL_OPTIMIZER, map_location="cpu", mmap=True)
        parameters = [one for group in optimizer.param_groups for one in group["params"]]
        for number, own in values["state"].items():
            like = parameters[number]
            values["state"][number] = {
                name: _divide(value, like) if value.shape == like.shape else value
                for name, value in own.items()
            }
        optimizer.load_state_dict(values)
        scheduler.load_state_dict(torch.load(self._checkpoint / SCHEDULER_NAME))


def _divide(whole: Any, like: Any) -> Any:
    """Return this process's part of a tensor that is divided like a parameter."""
    return distribute_tensor(whole.to(like.device), like.device_mesh, like.placements)


def _load_full(weights: Any, load: Any, state: Any, *options: bool, **more: bool) -> Any:
    """Load whole weights, of which each process keeps its part, with torch's own options."""
    own = weights.state_dict()
    parts = {
        name: _divide(whole, own[name]) if isinstance(own.get(name), DTensor) else whole
        for name, whole in state.items()
    }
    return load(parts, *options, **more)


def _map_tensors(value: Any, change: Any) -> Any:
    if isinstance(value, dict):
        return {key: _map_tensors(one, change) for key, one in value.items()}
    if isinstance(value, list):
        return [_map_tensors(one, change) for one in value]
    return change(value) if isinstance(value, DTensor) else value
