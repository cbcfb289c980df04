"""The processes of a training on several GPUs or machines, as torchrun or accelerate start them.

Every process runs the whole program. The first one does what may be done only once, and decides
what depends on time; the others learn its decisions.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

_T = TypeVar("_T")
_R = TypeVar("_R")

_PATIENCE = timedelta(hours=2)
"""How long a process waits for the others: the first one may convert a large model alone."""


@dataclass(frozen=True, slots=True)
class Processes:
    """The number of processes, and the index of this one. Every process must make every call."""

    count: int = 1
    index: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this process does what may be done only once."""
        return self.index == 0

    def by_first(self, compute: Callable[[], _T]) -> _T:
        """Return what `compute` returns in the first process; the others wait and do not call it.

        If it raises, so does the first process, and the launcher ends the others.
        """
        if self.count == 1:
            return compute()
        from torch import distributed

        values = [compute() if self.is_first else None]
        distributed.broadcast_object_list(values)
        [value] = values
        return value  # type: ignore[return-value]  # the first process's

    def gather(self, value: _T) -> list[_T]:
        """Return the values of all processes, in order."""
        if self.count == 1:
            return [value]
        from torch import distributed

        values: list[_T | None] = [None] * self.count
        distributed.all_gather_object(values, value)
        return values  # type: ignore[return-value]  # all are filled

    def map(self, items: Sequence[_T], compute: Callable[[Sequence[_T]], list[_R]]) -> list[_R]:
        """Return one result for each item, in order; each process computes a share of them."""
        shares = self.gather(compute(items[self.index :: self.count]))
        return [shares[number % self.count][number // self.count] for number in range(len(items))]

    def wait(self) -> None:
        """Wait until all processes have come here."""
        self.gather(None)

    @contextmanager
    def first_goes_first(self) -> Iterator[None]:
        """Run a block in the first process, then in the others: it may write what they read."""
        if not self.is_first:
            self.wait()
        yield
        if self.is_first:
            self.wait()


ALONE = Processes()
"""A training in one process."""


def count_processes() -> int:
    """Return how many processes a launcher says it has started; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE") or 1)


def join_processes() -> Processes:
    """Connect to the other processes of the launcher that started this one, if there is one.

    Each process of a machine uses its own GPU, or the processor if there is none.
    """
    if count_processes() == 1:
        return ALONE
    from accelerate import PartialState  # type: ignore[import-untyped]  # it ships no types

    from pipeline.training.device import training_device

    state = PartialState(cpu=training_device() == "cpu", timeout=_PATIENCE)
    return Processes(state.num_processes, state.process_index)
