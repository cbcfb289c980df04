"""Define the request, dependencies and result of `understudy retrain`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console

from model.options import option
from pipeline.dataset.options import CHAT, MIN_MESSAGES, ROSTER, SKIP_DAMAGED, TIMEZONE
from pipeline.export.files import ExportFile
from pipeline.terminal import Watch

if TYPE_CHECKING:  # their modules import torch, which takes seconds
    from pipeline.dataset.inspection import ChatReport
    from pipeline.evaluation.paired import Evaluation
    from pipeline.training.losses import HeldOutLoss

CURRENT = "the current version's"
_DATA, _PROMOTION, _TRAINING = "Data", "Promotion", "Advanced training"

Ask = Callable[[str], bool]
"""Ask a yes-or-no question; raise an error without a terminal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainRequest:
    """The files, the models folder and the options of `understudy retrain`.

    `base` None, `min_messages` 0 and each missing one of `hyperparameters` mean the current
    version's value. With `start_from` None, training continues from the current version if that is
    possible. `force_promotion` is the reason to promote a version that the gate refuses.
    """

    files: tuple[ExportFile, ...]
    root: Path
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    chat: str | None = option(None, CHAT)
    base: str | None = option(None, "Base model, as for train", default_text=CURRENT)
    force_training: bool = option(False, "Train even if there are too few new messages")
    no_live_bot: bool = option(False, "Run without a dump (no bot is running)")
    force_promotion: str | None = option(
        None, "Promote the new version even if it scores worse", metavar="REASON"
    )
    resume: bool = option(False, "Continue an interrupted training run")
    restart: bool = option(False, "Discard the checkpoint of an interrupted run")
    min_messages: int = option(0, MIN_MESSAGES, default_text=CURRENT)
    skip_damaged: bool = option(False, SKIP_DAMAGED)
    min_new_messages: int = option(
        200, "Do nothing if there are fewer new messages", least=1, panel=_DATA
    )
    roster: Path | None = option(None, ROSTER, default_text="roster.toml in the models folder")
    timezone: tzinfo | None = option(None, TIMEZONE, panel=_DATA)
    keep: int = option(5, "Versions to keep", least=1, panel=_PROMOTION)
    full_evaluation: bool = option(
        False, "Evaluate more replies, for narrower intervals", panel=_PROMOTION
    )
    start_from: Literal["base", "current"] | None = option(
        None, "Weights to start from", name="from", default_text="current, if possible",
        panel=_TRAINING,
    )  # fmt: skip
    replay: float = option(
        1.0, "With from=current: old pairs per new pair", least=0, panel=_TRAINING
    )


@dataclass(frozen=True, slots=True)
class RetrainDependencies:
    """The objects and functions that `retrain` works with.

    `train` is `pipeline.training.run.make_version`, and `evaluate` is
    `pipeline.evaluation.evaluate.evaluate`.
    """

    watch: Watch
    ask: Ask
    print_findings: "Callable[[Sequence[ChatReport], Console], None]"
    print_summary: Callable[..., None]
    train: "Callable[..., tuple[str, HeldOutLoss]]"
    evaluate: "Callable[..., Evaluation]"


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
