"""Measure the loss of real replies, and whether the right name makes them likeliest."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from model.chat.prompt import split_line
from pipeline.evaluation.heldout import HeldOutTurn, silence_voice
from pipeline.evaluation.intervals import Estimate, mean, ratio
from pipeline.training.scorer import Score, ScoringRequest


@dataclass(frozen=True, slots=True)
class Measured:
    """A real turn's scores under the tuned model.

    `absent` has the scores under its own name, then under the other voices without a line in view,
    after the voice's own lines were removed from the context; empty without such a rival. `alone`
    has the scores under every voice without any context, its own first.
    """

    turn: HeldOutTurn
    own: Score
    absent: tuple[Score, ...]
    alone: tuple[Score, ...]

    @property
    def is_right(self) -> bool:
        """Whether the right one of the absent names makes the turn likeliest."""
        return bool(self.absent) and _is_first_best(self.absent)


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Nats per character of the words of held-out turns (lower is better).

    `unseen` are the turns that are not in the training set.
    """

    tuned: Estimate
    no_context: Estimate
    unseen: Mapping[str, Estimate]
    voices: Mapping[str, Mapping[str, Estimate]]


@dataclass(frozen=True, slots=True)
class RightVoice:
    """Share of turns that are likeliest under the right name; a random choice reaches `chance`."""

    share: Estimate
    chance: float
    turns: int
    voices: Mapping[str, float]


def measure_turns(
    turns: Sequence[HeldOutTurn],
    voices: Sequence[str],
    score: Callable[[Sequence[ScoringRequest]], list[list[Score]]],
) -> tuple[Measured, ...]:
    """Score real turns under the tuned model: as they are, with their voice absent, and alone."""
    requests = []
    for turn in turns:
        others = [name for name in voices if name != turn.voice]
        requests.append(_ask(turn, ()))
        silent = silence_voice(turn)
        seen = {split_line(line)[0] for line in silent.context} if silent else set(voices)
        rivals = [name for name in others if name not in seen]
        requests.append(_ask(silent or turn, rivals) if rivals else ScoringRequest((), ()))
        requests.append(_ask(replace(turn, context=()), others))
    scores = score(requests)
    return tuple(
        Measured(turn, scores[at][0], tuple(scores[at + 1]), tuple(scores[at + 2]))
        for turn, at in zip(turns, range(0, len(scores), 3), strict=True)
    )


def measure_likelihood(measured: Sequence[Measured], seed: int) -> Likelihood:
    """Compare the loss under the tuned model with and without context."""
    scores = {
        "tuned": [result.own for result in measured],
        "no_context": [result.alone[0] for result in measured],
    }
    sessions = [result.turn.session for result in measured]

    def per_character(kept: Sequence[int]) -> dict[str, Estimate]:
        return {
            arm: ratio(
                [-own[index].nats for index in kept],
                [own[index].characters for index in kept],
                [sessions[index] for index in kept],
                seed,
            )
            for arm, own in scores.items()
        }

    return Likelihood(
        **per_character(range(len(measured))),
        unseen=per_character([n for n, one in enumerate(measured) if not one.turn.seen]),
        voices={
            voice: per_character([n for n, one in enumerate(measured) if one.turn.voice == voice])
            for voice in dict.fromkeys(result.turn.voice for result in measured)
        },
    )


def measure_right_voice(measured: Sequence[Measured], seed: int) -> dict[str, RightVoice]:
    """Measure how often the right name wins: `absent` among absent names, `no_context` among all.

    Nobody in view can be told from turn-taking in either case.
    """
    return {
        "absent": _measure_names(
            [(result.turn, result.absent) for result in measured if result.absent], seed
        ),
        "no_context": _measure_names([(result.turn, result.alone) for result in measured], seed),
    }


def _ask(turn: HeldOutTurn, others: Sequence[str]) -> ScoringRequest:
    """Return a request for the turn's words under its own name and under others."""
    names = (turn.voice, *others)
    return ScoringRequest(turn.context, tuple((name, turn.messages) for name in names))


def _measure_names(asked: Sequence[tuple[HeldOutTurn, Sequence[Score]]], seed: int) -> RightVoice:
    is_right = [float(_is_first_best(scores)) for _, scores in asked]
    names = dict.fromkeys(turn.voice for turn, _ in asked)
    by_voice = {
        name: [
            right for right, (turn, _) in zip(is_right, asked, strict=True) if turn.voice == name
        ]
        for name in names
    }
    return RightVoice(
        share=mean(is_right, [turn.session for turn, _ in asked], seed),
        chance=float(np.mean([1 / len(scores) for _, scores in asked])) if asked else 0.0,
        turns=len(asked),
        voices={name: float(np.mean(own)) for name, own in by_voice.items()},
    )


def _is_first_best(scores: Sequence[Score]) -> bool:
    return scores[0].nats > max((score.nats for score in scores[1:]), default=-np.inf)
