"""Collect what the report shows of a trained version: its training, scores and sample replies."""

import json
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from model.artifacts.artifact import SCORECARD, Artifact, Scorecard
from model.chat.names import make_json_printable
from model.chat.prompt import LINE_BREAK, split_line
from model.errors import ArtifactError, describe_error
from model.speaking.speaker import Ask, open_speaker
from pipeline.dataset.pairs import Pair, sample_evenly
from pipeline.dataset.storage import Dataset
from pipeline.evaluation.evaluate import FORMAT
from pipeline.training.callbacks import METRIC

SHOWN_CONTEXT = 6
"""Number of context lines above a sample; the model reads the whole window."""

_TRAINING = "train/loss"
_VALIDATION = METRIC.replace("eval_", "eval/")
_MIN_CONTEXT = 3  # lines; fewer do not show what a reply answers
_TRIED = 8  # pairs drawn for each sample; the one with most visible lines is taken


@dataclass(frozen=True, slots=True)
class TrainingCurve:
    """Losses by step, in nats: of training per token, of validation per character."""

    training: tuple[tuple[int, float], ...]
    validation: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """A held-out place in the chat: the lines before it, the real reply and a generated one.

    A line is a name and words; the name is None where the author's words may not be shown.
    """

    voice: str
    context: tuple[tuple[str | None, str], ...]
    real: tuple[str, ...]
    generated: tuple[str, ...]


def read_training_curve(artifact: Artifact) -> TrainingCurve | None:
    """Return a version's losses from its TensorBoard logs, or None if they are not here."""
    folder = artifact.path.parents[1] / "tensorboard" / artifact.path.name
    if not folder.is_dir():
        return None
    logs = EventAccumulator(str(folder))
    logs.Reload()
    known = logs.Tags()["scalars"]

    def read(tag: str) -> tuple[tuple[int, float], ...]:
        return (
            tuple((scalar.step, scalar.value) for scalar in logs.Scalars(tag))
            if tag in known
            else ()
        )

    curve = TrainingCurve(read(_TRAINING), read(_VALIDATION))
    return curve if curve.training or curve.validation else None


def read_scorecard(artifact: Artifact) -> Scorecard | None:
    """Return a version's scorecard; None if it has none, or one in another format.

    Raises:
        ArtifactError: It is damaged.
    """
    path = artifact.path / SCORECARD
    try:
        value: dict[str, Any] = make_json_printable(json.loads(path.read_text("utf-8")))
        is_current = value["format"] == FORMAT
    except FileNotFoundError:
        return None
    except (KeyError, OSError, RecursionError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"{path} cannot be read ({describe_error(error)}): run `understudy evaluate` again"
        ) from error
    return value if is_current else None


def draw_samples(
    artifact: Artifact, dataset: Dataset, agreed: Collection[str], count: int, seed: int
) -> tuple[Sample, ...]:
    """Generate `count` replies in each voice that agreed; return them with the real replies.

    Raises:
        ArtifactError: The model cannot be loaded.
    """
    voices = {person.name for person in artifact.card.roster.voices} & set(agreed)
    own = [pair for pair in dataset.test if pair.voice in voices]
    full = [pair for pair in own if len(pair.context) >= _MIN_CONTEXT] or own
    pairs = _choose_pairs(full, agreed, count, seed)
    if not pairs:
        return ()
    speaker = open_speaker(artifact, seed=seed)
    replies = speaker.replies([Ask(pair.context, pair.voice) for pair in pairs])
    return tuple(
        Sample(
            voice=pair.voice,
            context=hide_lines(pair.context[-SHOWN_CONTEXT:], agreed),
            real=pair.target,
            generated=messages,
        )
        for pair, messages in zip(pairs, replies, strict=True)
    )


def hide_lines(
    context: Sequence[str], agreed: Collection[str]
) -> tuple[tuple[str | None, str], ...]:
    """Return the names and words of rendered lines, without those of people who did not agree."""
    lines: list[tuple[str | None, str]] = []
    for line in context:
        name, words = split_line(line)
        if name in agreed:
            lines.append((name, words.replace(LINE_BREAK, "\n")))
        elif not lines or lines[-1][0] is not None:
            lines.append((None, ""))
    return tuple(lines)


def _choose_pairs(
    pairs: Sequence[Pair], agreed: Collection[str], count: int, seed: int
) -> list[Pair]:
    """Draw pairs of each voice; of several, those in whose context most lines can be shown."""

    def visible(pair: Pair) -> int:
        shown = [name for name, _ in hide_lines(pair.context[-SHOWN_CONTEXT:], agreed)]
        return len(shown) - 2 * shown.count(None)

    drawn = sample_evenly(pairs, _TRIED * count, seed)
    random.Random(seed).shuffle(drawn)
    chosen: dict[str, list[Pair]] = {}
    for pair in sorted(drawn, key=visible, reverse=True):
        chosen.setdefault(pair.voice, []).append(pair)
    return [pair for _, own in sorted(chosen.items()) for pair in own[:count]]
