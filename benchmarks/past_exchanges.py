"""An experiment: do a friend's own past exchanges in front of the conversation help the model?

python -m benchmarks.past_exchanges train DATASET MODELS retrieved|random [TRAIN OPTIONS]
python -m benchmarks.past_exchanges score DATASET MODELS [TURNS PER VOICE]

`train` runs `understudy train` with exchanges in front of each piece of a session. `score` measures
validation turns without exchanges, with random and with retrieved ones.
"""
# ruff: noqa: T201 - a program that prints

import random
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, cast, get_args

from model.artifacts.registry import Registry
from model.artifacts.tokenizer import Codec
from model.chat.prompt import format_line, split_line
from model.chat.words import split_words
from pipeline.dataset.pairs import SessionLine, sample_evenly
from pipeline.dataset.storage import Dataset, load_dataset
from pipeline.evaluation.heldout import HeldOutTurn, make_turns, silence_voice
from pipeline.evaluation.intervals import ratio
from pipeline.training import encoding
from pipeline.training.bases import open_tuned
from pipeline.training.scorer import Score, ScoringRequest, score_replies

Choice = Literal["none", "random", "retrieved"]
EXCHANGES = 3
"""Exchanges in front of a conversation; each is a line and the turn that answers it."""
_QUERY_LINES = 4
_MAX_REPLY = 3  # messages of a turn
_WITHOUT = 0.2  # share of the pieces without exchanges
_LIMIT = 512  # tokens of a prompt
_OTHERS = "SELECT line, reply FROM exchanges WHERE voice = ? AND session != ?"


class Memory:
    """The exchanges of a dataset's training conversations, with a full-text index (SQLite FTS5)."""

    def __init__(self, dataset: Dataset) -> None:
        self._database = sqlite3.connect(":memory:")
        self._database.execute(
            "CREATE VIRTUAL TABLE exchanges USING fts5(line, reply UNINDEXED, voice UNINDEXED, "
            "session UNINDEXED, tokenize = 'unicode61 remove_diacritics 2')"
        )
        rows = (
            (
                pair.context[-1],
                "\n".join(format_line(pair.voice, text) for text in pair.target[:_MAX_REPLY]),
                pair.voice,
                pair.session,
            )
            for pair in dataset.train
            if pair.context and split_line(pair.context[-1])[0] != pair.voice
        )
        self._database.executemany("INSERT INTO exchanges VALUES (?, ?, ?, ?)", rows)
        self._random: dict[str, list[tuple[str, str, int]]] = {}
        for line, reply, voice, session in self._database.execute("SELECT * FROM exchanges"):
            self._random.setdefault(voice, []).append((line, reply, session))

    def find(
        self, choice: Choice, voice: str, context: Sequence[str], session: int, rng: random.Random
    ) -> list[str]:
        """Return the lines of exchanges of a voice, the best last; none from this session."""
        if choice == "none" or voice not in self._random:
            return []
        if choice == "random":
            own = [one for one in self._random[voice] if one[2] != session]
            found = [one[:2] for one in rng.sample(own, min(EXCHANGES, len(own)))]
        else:
            texts = (split_line(line)[1] for line in context[-_QUERY_LINES:])
            words = {word for text in texts for word in split_words(text) if word.isalnum()}
            if not words:
                return []
            query = " OR ".join(f'"{word}"' for word in sorted(words))
            found = self._database.execute(
                f"{_OTHERS} AND exchanges MATCH ? ORDER BY bm25(exchanges) LIMIT ?",
                (voice, session, f"line : ({query})", EXCHANGES),
            ).fetchall()[::-1]
        return [text for line, reply in found for text in (line, *reply.split("\n"))]


def train(dataset_folder: Path, models: Path, choice: Choice, options: Sequence[str]) -> None:
    """Train with exchanges of the person who speaks in a piece's second half."""
    memory, rng = Memory(load_dataset(dataset_folder)), random.Random(0)
    encode_lines = encoding._encode_lines

    def encode_with_exchanges(
        piece: Sequence[SessionLine], codec: Codec, limit: int
    ) -> Iterator[dict[str, Any]]:
        lines = list(piece)
        half = lines[len(lines) // 2 :]
        voices = sorted({split_line(one.line)[0] or "" for one in half if one.is_target})
        if voices and rng.random() >= _WITHOUT:
            voice = rng.choice(voices)
            context = [one.line for one in lines[: len(lines) // 2]] or [lines[0].line]
            found = memory.find(choice, voice, context, lines[0].session, rng)
            shown = [SessionLine(0, 0, 0, text, is_target=False, pauses=False) for text in found]
            lines = [*shown, *lines]
        yield from encode_lines(lines, codec, limit)

    encoding._encode_lines = encode_with_exchanges  # type: ignore[assignment]
    from pipeline.cli.main import app

    app(["train", str(dataset_folder), "--models-dir", str(models), *options])


def score(dataset_folder: Path, models: Path, per_voice: int) -> None:
    """Print the loss and the right voice of validation turns with each choice of exchanges."""
    import torch

    dataset, rng = load_dataset(dataset_folder), random.Random(0)
    memory = Memory(dataset)
    artifact = Registry(models).open("1")
    base = open_tuned(artifact)
    base.weights.to(torch.bfloat16)
    turns = make_turns(sample_evenly(dataset.validation, per_voice, seed=0))
    names = sorted(artifact.card.learned)
    print(f"{len(turns)} turns of {len(names)} voices")
    for choice in ("none", "random", "retrieved"):

        def ask(
            turn: HeldOutTurn, name: str, context: Sequence[str], choice: Choice = choice
        ) -> ScoringRequest:
            shown = memory.find(choice, name, context, turn.session, rng)
            return ScoringRequest((*shown, *context), ((name, turn.messages),))

        own = _score(base, [ask(turn, turn.voice, turn.context) for turn in turns])
        loss = ratio(
            [-one.nats for one in own],
            [one.characters for one in own],
            [turn.session for turn in turns],
            0,
        )
        shares = {}
        for way in ("absent", "no context"):
            right: list[bool] = []
            for turn in turns:
                silent = silence_voice(turn)
                context = silent.context if silent and way == "absent" else ()
                seen = {split_line(line)[0] for line in context}
                rivals = [name for name in names if name not in seen and name != turn.voice]
                if rivals and (silent or way == "no context"):
                    asked = [ask(turn, name, context) for name in (turn.voice, *rivals)]
                    first, *others = (one.nats for one in _score(base, asked))
                    right.append(first > max(others))
            shares[way] = f"{sum(right) / max(1, len(right)):.2f} of {len(right)}"
        print(
            f"{choice:10} nats per character {loss.value:.3f} ({loss.low:.3f}–{loss.high:.3f})",
            shares,
        )


def _score(base: Any, requests: Sequence[ScoringRequest]) -> list[Score]:
    return [one for [one] in score_replies(base, requests, _LIMIT)]


def main() -> None:
    """Run one of the two commands."""
    command, dataset, models, *rest = sys.argv[1:]
    if command == "train":
        choice, *options = rest
        if choice not in get_args(Choice):
            sys.exit(f"choose one of {', '.join(get_args(Choice))}")
        train(Path(dataset), Path(models), cast("Choice", choice), options)
    else:
        score(Path(dataset), Path(models), int(rest[0]) if rest else 40)


if __name__ == "__main__":
    main()
