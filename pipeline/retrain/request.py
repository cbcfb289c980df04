"""Define the request, dependencies and result of `understudy retrain`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from pipeline.dataset.inspection import ChatReport
from pipeline.evaluation.evaluate import GATE, evaluate
from pipeline.evaluation.generation import Size
from pipeline.evaluation.paired import Evaluation
from pipeline.export.files import ExportFile
from pipeline.retrain.options import RetrainOptions
from pipeline.terminal import Watch
from pipeline.training.losses import HeldOutLoss
from pipeline.training.run import make_version

Ask = Callable[[str], bool]
"""Ask a yes-or-no question; raise an error without a terminal."""


@dataclass(frozen=True, slots=True)
class RetrainRequest(RetrainOptions):
    """The files, the folder of models and the options of `understudy retrain`.

    Each hyperparameter that is not in `hyperparameters` has the current version's value.
    """

    files: tuple[ExportFile, ...]
    root: Path
    evaluation_size: Size = GATE
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RetrainDependencies:
    """The objects and functions that `retrain` works with."""

    watch: Watch
    ask: Ask
    print_findings: Callable[[Sequence[ChatReport], Console], None]
    print_summary: Callable[..., None]
    train: Callable[..., tuple[str, HeldOutLoss]] = make_version
    evaluate: Callable[..., Evaluation] = evaluate


@dataclass(frozen=True, slots=True)
class RetrainResult:
    """A message of one line, the new version if there is one, and two commands.

    `receipt` shows the version's receipt, `next_command` is what to do next.
    """

    message: str
    version: str | None = None
    promoted: bool = False
    receipt: str | None = None
    next_command: str | None = None
