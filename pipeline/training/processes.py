"""Coordinate the processes of distributed training (torchrun, accelerate launch).

Every process runs the whole program. The main one does what may be done only once, and decides
what depends on time; the others learn its decisions.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from model.errors import TrainingError

_T = TypeVar("_T")
_R = TypeVar("_R")

_TIMEOUT = timedelta(hours=2)
"""Timeout of a collective call; the main process may convert a large model alone."""
_LAUNCHERS_VARIABLES = ("WORLD_SIZE", "RANK", "LOCAL_RANK")


@dataclass(frozen=True, slots=True)
class Processes:
    """The number of processes, and the rank of this one.

    `shards`: the model is divided among them, see `pipeline.training.sharding`. Each method must be
    called by every process.
    """

    count: int = 1
    rank: int = 0
    shards: bool = False

    @property
    def is_main(self) -> bool:
        """Whether this process does what may be done only once."""
        return self.rank == 0

    def broadcast_from_main(self, compute: Callable[[], _T]) -> _T:
        """Return what `compute` returns in the main process; the others wait and do not call it.

        If it raises, so does the main process, and the launcher ends the others.
        """
        if self.count == 1:
            return compute()
        from torch import distributed

        values = [compute() if self.is_main else None]
        distributed.broadcast_object_list(values)
        [value] = values
        return value  # type: ignore[return-value]  # the main process's

    def gather(self, value: _T) -> list[_T]:
        """Return the values of all processes, in order of rank."""
        if self.count == 1:
            return [value]
        from torch import distributed

        values: list[_T | None] = [None] * self.count
        distributed.all_gather_object(values, value)
        return values  # type: ignore[return-value]  # all are filled

    def map(self, items: Sequence[_T], compute: Callable[[Sequence[_T]], list[_R]]) -> list[_R]:
        """Return one result for each item, in order; each process computes a share of them.

        If they share a model, each has at least one: all of them must call the model.
        """
        own = items[self.rank :: self.count]
        shares = self.gather(compute(own or (items[:1] if self.shards else own)))
        return [shares[number % self.count][number // self.count] for number in range(len(items))]

    def pad(self, batches: list[_T]) -> list[_T]:
        """If processes share a model, return as many batches as the process with the most has.

        The last batch is repeated.
        """
        if not self.shards:
            return batches
        return batches + batches[-1:] * (max(self.gather(len(batches))) - len(batches))

    def wait(self) -> None:
        """Wait until all processes have reached this point."""
        self.gather(None)

    @contextmanager
    def main_process_first(self) -> Iterator[None]:
        """Run a block in the main process, then in the others: it may write what they read."""
        if not self.is_main:
            self.wait()
        yield
        if self.is_main:
            self.wait()


SINGLE_PROCESS = Processes()


def count_processes() -> int:
    """Return the number of processes that a launcher reports; 1 without a launcher.

    Raises:
        TrainingError: WORLD_SIZE is not a number.
    """
    if any(name not in os.environ for name in _LAUNCHERS_VARIABLES):
        return 1
    try:
        return int(os.environ["WORLD_SIZE"])
    except ValueError:
        raise TrainingError("WORLD_SIZE is not a number: start this with torchrun") from None


@contextmanager
def join_processes(*, shards: bool = False) -> Iterator[Processes]:
    """Connect to the other processes of the launcher that started this one, if there is one.

    Each process of a machine uses its own GPU, or the CPU if there is none. With `shards` they
    divide the model.

    Raises:
        TrainingError: Another process exited while this one waited for it, or there is only one
            process to divide the model among.
    """
    if count_processes() == 1:
        if shards:
            raise TrainingError(
                "--set shard=true needs several processes: start this with torchrun"
            )
        yield SINGLE_PROCESS
        return
    from accelerate import PartialState  # type: ignore[import-untyped]  # it ships no types

    from pipeline.training.device import training_device

    state = PartialState(cpu=training_device() == "cpu", timeout=_TIMEOUT)
    try:
        yield Processes(state.num_processes, state.process_index, shards)
    except RuntimeError as error:
        if not _is_connection_error(error):
            raise
        raise TrainingError("another process of this training run exited first") from error
    state.destroy_process_group()  # after an error the launcher ends all


def _is_connection_error(error: RuntimeError) -> bool:
    """Whether another process has closed its connection; gloo has no separate type for that."""
    from torch import distributed

    return isinstance(error, distributed.DistError) or "gloo" in str(error)
