"""Define the request, dependencies and result of `understudy retrain`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import Any, Literal, Protocol

from rich.console import Console

from model.artifacts.artifact import Artifact, Decoding
from model.artifacts.registry import Registry
from pipeline.dataset.inspection import ChatReport
from pipeline.dataset.storage import Dataset
from pipeline.evaluation.evaluate import GATE, evaluate_turns
from pipeline.evaluation.generation import Size
from pipeline.evaluation.paired import Evaluation
from pipeline.retrain import KEEP, MIN_NEW_MESSAGES
from pipeline.terminal import Progress, Watch
from pipeline.training.hyperparameters import Hyperparameters
from pipeline.training.losses import HeldOutLoss
from pipeline.training.run import Start, make_version

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

    files: tuple[Path, ...]
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


class Train(Protocol):
    """Train a version, as `pipeline.training.run.make_version` does."""

    def __call__(
        self,
        dataset: Dataset,
        start: Start,
        registry: Registry,
        settings: Hyperparameters,
        decoding: Decoding,
        progress: Progress,
        *,
        resume: bool = False,
    ) -> tuple[str, HeldOutLoss]:
        """Return the version's name and its losses."""


class Evaluate(Protocol):
    """Evaluate a version, as `pipeline.evaluation.evaluate.evaluate_turns` does."""

    def __call__(
        self,
        artifact: Artifact,
        dataset: Dataset,
        cache: Path,
        size: Size,
        seed: int,
        console: Console,
        *,
        on_progress: Callable[[float], object],
    ) -> Evaluation:
        """Return the scorecard and outcomes; `on_progress` receives the finished share, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Dependencies:
    """The objects and functions that `retrain` works with."""

    watch: Watch
    ask: Ask
    print_findings: Callable[[Sequence[ChatReport], Console], None]
    print_summary: Callable[..., None]
    train: Train = make_version
    evaluate: Evaluate = evaluate_turns


@dataclass(frozen=True, slots=True)
class RetrainResult:
    """A message of one line, the new version if there is one, and the next command."""

    message: str
    version: str | None = None
    promoted: bool = False
    receipt: Path | None = None
    next_command: str | None = None
