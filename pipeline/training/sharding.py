"""Divide a model among the processes of a training run (PyTorch's FSDP2), and merge it again.

Each process has a part of every weight, of its gradient and of AdamW's moments. A layer is gathered
from all processes only while it runs, so all of them must call the model the same number of times.
"""

from pathlib import Path
from typing import Any

import torch
import transformers
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers.distributed import DistributedConfig  # type: ignore[attr-defined]  # exported lazily
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME

from pipeline.training.processes import Processes

_FULL_OPTIMIZER = "optimizer-full.pt"
"""A checkpoint's optimizer under a name that the Trainer does not load: it would load all of it
onto each device."""


def shard(weights: Any, processes: Processes, folder: Path) -> Any:
    """Divide weights among processes, each of which loads only its part; `folder` is new.

    All processes must call this, with the same weights.
    """
    if processes.is_main:
        weights.save_pretrained(folder)
    processes.wait()
    config = DistributedConfig(fsdp_size=processes.count, fsdp_plan=_plan_blocks(weights))
    divided = _load(type(weights), folder, weights, distributed_config=config)
    divided.register_load_state_dict_pre_hook(_divide_loaded)
    return divided


def held_share(weights: Any) -> float:
    """Return this process's share of divided weights."""
    parameters = list(weights.parameters())
    own = sum(one.to_local().numel() for one in parameters)
    return float(own / sum(one.numel() for one in parameters))


def _plan_blocks(weights: Any) -> dict[str, str]:
    """Return transformers' plan: the members of the outermost lists of modules are layers."""
    lists = [name for name, one in weights.named_modules() if isinstance(one, torch.nn.ModuleList)]
    inner = {name for name in lists for outer in lists if name.startswith(f"{outer}.")}
    return {f"{name}.*": "free_full_weight" for name in lists if name not in inner}


def gather(weights: Any, processes: Processes, folder: Path) -> Any:
    """Return the whole model on the CPU in the main process, None in the others; `folder` is new.

    All processes must call this.
    """
    weights.save_pretrained(folder)
    kind: Any = next(one for one in type(weights).__mro__ if not issubclass(one, FSDPModule))
    return _load(kind, folder, weights) if processes.is_main else None


def _load(kind: Any, folder: Path, saved: Any, **options: Any) -> Any:
    """Load weights that were just saved; see `load_encoder_decoder` for the corrected setting."""
    loaded = kind.from_pretrained(folder, dtype=saved.dtype, **options)
    loaded.config.tie_word_embeddings = saved.config.tie_word_embeddings
    return loaded


def save_optimizer(optimizer: Any, scheduler: Any, folder: Path, processes: Processes) -> None:
    """Write the optimizer's whole state into a checkpoint, as a single-process run does.

    All processes must call this.
    """

    def collect(part: Any) -> Any:
        whole = part.full_tensor()
        return whole.cpu() if processes.is_main else None  # the others need no memory for it

    moments = _map_tensors(optimizer.state_dict(), collect)
    if processes.is_main:
        torch.save(moments, folder / _FULL_OPTIMIZER)
        torch.save(scheduler.state_dict(), folder / SCHEDULER_NAME)
    processes.wait()


def prepare_checkpoint(checkpoint: Path, processes: Processes) -> None:
    """Give a checkpoint's optimizer the name under which this run looks for it.

    All processes must call this.
    """
    names = [_FULL_OPTIMIZER, OPTIMIZER_NAME]
    found, wanted = reversed(names) if processes.shards else names
    if processes.is_main and (checkpoint / found).is_file():
        (checkpoint / found).replace(checkpoint / wanted)
    processes.wait()


class OptimizerLoader(transformers.TrainerCallback):
    """Loads a process's part of a checkpoint's optimizer when a run is resumed."""

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


def _divide_loaded(weights: Any, state: dict[str, Any], *_: Any) -> None:
    """In a state that is about to be loaded, replace whole weights with this process's parts."""
    for name, own in weights.state_dict().items():
        if isinstance(own, DTensor) and name in state:
            state[name] = _divide(state[name], own)


def _map_tensors(value: Any, change: Any) -> Any:
    if isinstance(value, dict):
        return {key: _map_tensors(one, change) for key, one in value.items()}
    if isinstance(value, list):
        return [_map_tensors(one, change) for one in value]
    return change(value) if isinstance(value, DTensor) else value
