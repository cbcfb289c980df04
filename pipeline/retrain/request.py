"""Define the request, dependencies and result of `understudy retrain`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from pipeline.dataset.inspection import ChatReport
from pipeline.evaluation.evaluate import GATE, evaluate_turns
from pipeline.evaluation.generation import Size
from pipeline.evaluation.paired import Evaluation
from pipeline.export.files import ExportFile
from pipeline.retrain import KEEP, MIN_NEW_MESSAGES
from pipeline.terminal import Watch
from pipeline.training.losses import HeldOutLoss
from pipeline.training.run import make_version

StartFrom = Literal["base", "current"]
Ask = Callable[[str], bool]
"""Ask a yes-or-no question; raise an error without a terminal."""


@dataclass(frozen=True, slots=True)
class RetrainRequest:
    """The options of `understudy retrain`.

    `base` None, `min_messages` 0 and each hyperparameter that is not in `hyperparameters` mean the
    current version's value. With `start_from` None, training continues from the current version if
    that is possible. `force_promotion` is the reason to promote a version that the gate refuses.
    """

    files: tuple[ExportFile, ...]
    root: Path
    chat: str | None = None
    roster: Path | None = None
    timezone: tzinfo | None = None
    base: str | None = None
    start_from: StartFrom | None = None
    replay: float = 1.0
    min_new_messages: int = MIN_NEW_MESSAGES
    min_messages: int = 0
    force_training: bool = False
    no_live_bot: bool = False
    force_promotion: str | None = None
    keep: int = KEEP
    evaluation_size: Size = GATE
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    resume: bool = False
    restart: bool = False
    skip_damaged: bool = False


@dataclass(frozen=True, slots=True)
class RetrainDependencies:
    """The objects and functions that `retrain` works with."""

    watch: Watch
    ask: Ask
    print_findings: Callable[[Sequence[ChatReport], Console], None]
    print_summary: Callable[..., None]
    train: Callable[..., tuple[str, HeldOutLoss]] = make_version
    evaluate: Callable[..., Evaluation] = evaluate_turns


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
