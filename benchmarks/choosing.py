"""Compare rules for choosing one of eight candidates, on validation turns.

    python -m benchmarks.choosing DATASET --judge FILE --models-dir FOLDER --per-voice 40

Candidates are drawn once; each rule chooses among the same. The judge learns from the turns in
`--judge`, such as the demo chat's judge.jsonl. Takes about six seconds of two cores per turn.
"""
# ruff: noqa: T201 - a program that prints a table

import argparse
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from model.artifacts.artifact import Artifact, Decoding
from model.artifacts.registry import Registry
from model.speaking import candidates
from model.speaking.candidates import ReplyScores, ScoredReply, compute_merit
from model.speaking.speaker import Ask, Speaker, open_speaker
from pipeline.dataset.pairs import sample_evenly
from pipeline.dataset.storage import Dataset, load_dataset
from pipeline.evaluation.attribution import share_named_right
from pipeline.evaluation.evaluate import choose_fit_scorer, split_pool
from pipeline.evaluation.fit import Ranked, make_questions, rank_candidates
from pipeline.evaluation.heldout import (
    Answer,
    HeldOutLine,
    HeldOutTurn,
    list_lines,
    make_real_answers,
    make_turns,
    take_turns,
)
from pipeline.evaluation.judge import Table, read_judge_turns, train_judge
from pipeline.evaluation.realism import measure_realism
from pipeline.training.bases import open_base
from pipeline.training.machine import reuse_freed_memory
from pipeline.training.scorer import score_replies

REAL = "real"
_TRIES = 3
_PARTITIONS = 40
_BATCH = 4
RULES = (
    Decoding(),
    *(
        Decoding(voice_weight=v, context_weight=c, length_power=p, length_weight=n)
        for v, c, p, n in (
            (2, 0.5, 0.75, 0.25), (1, 0.5, 0.75, 0.25), (0.5, 0.5, 0.75, 0.25),
            (1, 0.25, 0.75, 0.25), (0.5, 0.25, 0.75, 0.25), (0.25, 0.25, 0.75, 0.25),
            (1, 0.2, 0.5, 0.1), (0.5, 0.2, 0.5, 0.1), (0.5, 0.1, 0.5, 0), (0.5, 0.25, 0.5, 0.25),
            (0.5, 0, 0.5, 0), (1, 0, 0.5, 0), (0, 0.5, 0.75, 0), (0, 0.25, 0.75, 0.25),
        )
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Drawn:
    """A validation turn's candidates, and what a rule knows of them."""

    turn: HeldOutTurn
    replies: tuple[ScoredReply, ...]
    scores: tuple[ReplyScores, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """Each turn's real reply and candidates, as the scorecard sees them.

    `ranked` and `lines` have the real reply first, then the candidates; `lines` are the judge's
    log-probabilities, [lines, voices].
    """

    voices: tuple[str, ...]
    drawn: tuple[Drawn, ...]
    ranked: tuple[tuple[Ranked, ...], ...]
    lines: tuple[tuple[Table, ...], ...]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--judge", type=Path, required=True)
    parser.add_argument("--version", default="current")
    parser.add_argument("--models-dir", type=Path, default=Path("artifacts"))
    parser.add_argument("--per-voice", type=int, default=40)
    parser.add_argument("--temperature", type=float, default=Decoding().temperature)
    parser.add_argument("--top-p", type=float, default=Decoding().top_p)
    parser.add_argument("--top-k", type=int, default=Decoding().top_k)
    parser.add_argument("--max-new-tokens", type=int, default=Decoding().max_new_tokens)
    given = parser.parse_args()
    torch.set_num_threads(2)
    reuse_freed_memory()
    dataset, artifact = load_dataset(given.dataset), Registry(given.models_dir).open(given.version)
    decoding = Decoding(
        temperature=given.temperature, top_p=given.top_p, top_k=given.top_k,
        max_new_tokens=given.max_new_tokens,
    )  # fmt: skip
    turns = make_turns(sample_evenly(dataset.validation, len(dataset.validation), seed=0))
    drawn = draw(artifact, take_turns(turns, given.per_voice), decoding)
    judged = judge(dataset, artifact, given.models_dir / "bases", given.judge, drawn)
    rng = np.random.default_rng(0)
    print(
        "| voice, context, power, length | named right of 1 | of 5 | of 10 | fit | AUC | messages "
        "| one | ? | characters |\n|---|---|---|---|---|---|---|---|---|---|"
    )
    print(describe("real", judged, [0] * len(drawn)))
    for number in range(2):
        any_one = [int(rng.integers(len(one.replies))) + 1 for one in judged.drawn]
        print(describe(f"any candidate {number + 1}", judged, any_one), flush=True)
    for rule in RULES[1:]:
        name = (
            f"{rule.voice_weight:g}, {rule.context_weight:g}, {rule.length_power:g}, "
            f"{rule.length_weight:g}"
        )
        print(describe(name, judged, list(choose(judged, rule))), flush=True)


def draw(artifact: Artifact, turns: Sequence[HeldOutTurn], decoding: Decoding) -> tuple[Drawn, ...]:
    """Draw candidates for turns with two speakers; turns without any are left out."""
    speakers = [open_speaker(artifact, seed=0, decoding=decoding) for _ in range(2)]
    limit, codec = artifact.card.max_prompt_tokens, speakers[0].codec
    order = sorted(turns, key=lambda turn: len(codec.prompt_ids(turn.context, limit)))
    batches = [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]

    def work(shard: int) -> list[Drawn]:
        return [one for batch in batches[shard::2] for one in _draw_batch(speakers[shard], batch)]

    with ThreadPoolExecutor(2) as pool:
        return tuple(one for own in pool.map(work, range(2)) for one in own)


def _draw_batch(speaker: Speaker, turns: Sequence[HeldOutTurn]) -> Iterator[Drawn]:
    for turn, replies in zip(
        turns, speaker.candidates([Ask(t.context, t.voice) for t in turns]), strict=True
    ):
        if replies:
            scores = candidates.score_replies(
                speaker.engine, speaker.codec, replies, turn.voice, speaker.voice_table
            )
            yield Drawn(turn, tuple(replies), tuple(scores))


def judge(
    dataset: Dataset, artifact: Artifact, cache: Path, file: Path, drawn: Sequence[Drawn]
) -> Judged:
    """Let the judge and an untuned base see real replies and candidates."""
    turns = [one.turn for one in drawn]
    pool, seen = split_pool(read_judge_turns(file, {turn.voice for turn in turns}))
    trained = train_judge(list_lines(make_real_answers(seen)))
    arms = {REAL: [Answer(turn, turn.messages) for turn in turns]}
    for place in range(max(len(one.replies) for one in drawn)):
        arms[str(place)] = [
            Answer(d.turn, d.replies[place].messages if place < len(d.replies) else ())
            for d in drawn
        ]
    base = open_base(choose_fit_scorer(artifact.card.base, cache), cache, dataset.texts())
    base.weights.to(torch.bfloat16)
    limit = artifact.card.max_prompt_tokens
    ranked = rank_candidates(
        make_questions(arms, pool, 0), lambda requests: score_replies(base, requests, limit)
    )
    lines = {
        arm: [
            trained.score([HeldOutLine(a.asked.voice, text) for text in a.messages])
            for a in answers
        ]
        for arm, answers in arms.items()
    }
    return Judged(
        trained.voices, tuple(drawn),
        tuple(zip(*ranked.values(), strict=True)), tuple(zip(*lines.values(), strict=True)),
    )  # fmt: skip


def choose(judged: Judged, rule: Decoding) -> Iterator[int]:
    """Yield the place of the candidate with the most merit; the real reply has place 0."""
    for one in judged.drawn:
        merits = [compute_merit(scores, rule) for scores in one.scores]
        yield 1 + merits.index(max(merits))


def describe(name: str, judged: Judged, places: Sequence[int]) -> str:
    """Return a row of the table."""
    rows = [ranked[place] for ranked, place in zip(judged.ranked, places, strict=True)]
    real = [ranked[0] for ranked in judged.ranked]
    own: list[list[Table]] = [[] for _ in judged.voices]
    for one, lines, place in zip(judged.drawn, judged.lines, places, strict=True):
        own[judged.voices.index(one.turn.voice)].append(lines[place])
    tables = [np.concatenate(lines) for lines in own if lines]
    rng = np.random.default_rng(0)
    named = [
        np.mean([share_named_right(tables, size, rng) for _ in range(_PARTITIONS)])
        for size in (1, 5, 10)
    ]
    counts = [len(one.messages) for one in rows]
    texts = [text for one in rows for text in one.messages]
    area = 0.5 if rows == real else measure_realism(real, rows, 0).value
    values = [*named, np.mean([one.is_first for one in rows]), area, np.mean(counts)]
    values += [np.mean([count == 1 for count in counts]), np.mean(["?" in text for text in texts])]
    cells = " | ".join(f"{value:.2f}" for value in values)
    return f"| {name} | {cells} | {np.mean([len(text) for text in texts]):.0f} |"


if __name__ == "__main__":
    main()
