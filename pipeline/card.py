"""What a new model says of itself: where it comes from, and how well it foresees replies."""

import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from model.artifact import Card, Decoding
from model.base import Base
from model.hyperparameters import Hyperparameters
from model.training import Outcome
from pipeline.dataset import Dataset


@dataclass(frozen=True, slots=True)
class Nats:
    """Nats a character of held-out replies, untuned and tuned; lower is better."""

    untuned: float
    tuned: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """A model's loss on held-out replies, over all of them and for each voice.

    `fresh` covers the replies that do not occur word for word in training; None if all do.
    `replies` is their number.
    """

    whole: Nats
    fresh: Nats | None
    voices: Mapping[str, Nats]
    replies: int = 0


def card_of(
    dataset: Dataset,
    base: Base,
    settings: Hyperparameters,
    decoding: Decoding,
    outcome: Outcome,
    judgement: Judgement,
) -> Card:
    """Return what goes into model.json."""
    return Card(
        base=base.name,
        family=base.family,
        roster=dataset.roster,
        chats=dataset.chats,
        window=dataset.window,
        max_prompt_tokens=settings.max_prompt_tokens,
        decoding=decoding,
        public=dataset.public,
        scores={"nats_per_character": asdict(judgement)},
        provenance={
            "understudy": version("understudy"),
            "commit": commit(),
            "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "dataset": {"folder": str(dataset.folder.resolve()), "sha256": dataset.content_hash},
            "voices": {voice.name: voice.lines for voice in dataset.summary.voices},
            "hyperparameters": asdict(settings),
            "steps": outcome.steps,
            "seconds": round(outcome.seconds, 1),
            "training_loss": round(outcome.loss, 4),
        },
    )


def commit() -> str | None:
    """Return the commit of the code that trains, None outside a checkout."""
    here = Path(__file__).parent
    try:
        said = subprocess.run(  # noqa: S603  words of our own
            ["git", "-C", str(here), "rev-parse", "HEAD"],  # noqa: S607  whichever git there is
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return None
    return said.stdout.strip()
