"""The options of `understudy retrain`."""

from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import Literal

from model.options import option
from pipeline.dataset.options import CHAT, MIN_MESSAGES, ROSTER, SKIP_DAMAGED, TIMEZONE

CURRENT = "the current version's"
_DATA, _PROMOTION, _TRAINING = "Data", "Promotion", "Advanced training"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainOptions:
    """How to retrain.

    `base` None and `min_messages` 0 mean the current version's value. With `start_from` None,
    training continues from the current version if that is possible. `force_promotion` is the
    reason to promote a version that the gate refuses.
    """

    chat: str | None = option(None, CHAT)
    base: str | None = option(None, "Base model, as for train", default_text=CURRENT)
    force_training: bool = option(False, "Train even if there are too few new messages")
    no_live_bot: bool = option(False, "Run without a dump: there is no running bot")
    force_promotion: str | None = option(
        None, "Promote even a worse version, for this reason", metavar="REASON"
    )
    resume: bool = option(False, "Continue a stopped training")
    restart: bool = option(False, "Discard the checkpoint of a stopped training")
    min_messages: int = option(0, MIN_MESSAGES, default_text=CURRENT)
    skip_damaged: bool = option(False, SKIP_DAMAGED)
    min_new_messages: int = option(
        200, "Do nothing if there are fewer new messages", least=1, panel=_DATA
    )
    roster: Path | None = option(None, ROSTER, default_text="roster.toml in the folder of models")
    timezone: tzinfo | None = option(None, TIMEZONE, panel=_DATA)
    keep: int = option(5, "Versions to keep", least=1, panel=_PROMOTION)
    start_from: Literal["base", "current"] | None = option(
        None, "Weights to start from", name="from", default_text="current, if possible",
        panel=_TRAINING,
    )  # fmt: skip
    replay: float = option(
        1.0, "With from=current: old pairs per new pair", least=0, panel=_TRAINING
    )
