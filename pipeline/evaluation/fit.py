"""Measure whether replies fit their context: pick each among nine others by the same person."""

import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.heldout import Answer, HeldOutTurn
from pipeline.evaluation.intervals import Estimate, mean, ratio
from pipeline.training.scorer import Score, ScoringRequest

CANDIDATES = 10
"""A reply and its distractors; a random choice is right in a tenth of the cases."""
_DRAWN = 40
"""Turns drawn for a question; the nine of the most similar length are an arm's distractors.

Arms of similar lengths share most of them, and each is scored once.
"""
_REPLIES_PER_REQUEST = 24

Messages = tuple[str, ...]
ScoreReplies = Callable[[Sequence[ScoringRequest]], list[list[Score]]]
"""Returns a score for each reply of each request."""


@dataclass(frozen=True, slots=True)
class FitQuestion:
    """A turn, and the candidates of each arm: its reply, then the distractors."""

    turn: HeldOutTurn
    candidates: Mapping[str, tuple[Messages, ...]]


@dataclass(frozen=True, slots=True)
class Ranked:
    """A reply's score in its context, and the PMI of the reply and each distractor, in nats."""

    turn: HeldOutTurn
    messages: Messages
    score: Score
    pmi: tuple[float, ...]

    @property
    def is_first(self) -> bool:
        """Whether the reply fits better than all distractors."""
        return bool(self.messages) and self.pmi[0] > max(self.pmi[1:], default=-np.inf)


@dataclass(frozen=True, slots=True)
class Fit:
    """Share of replies that fit best, and the same relative to real replies."""

    recall: Estimate
    relative: Estimate


def make_questions(
    arms: Mapping[str, Sequence[Answer]], pool: Sequence[HeldOutTurn], seed: int
) -> list[FitQuestion]:
    """Return a question for each turn; the arms answer the same turns in the same order.

    Distractors are real turns of the same person from `pool` with about the length of the arm's
    own reply, so that no length is easier than another.
    """
    by_voice: dict[str, dict[str, Messages]] = defaultdict(dict)
    for turn in pool:
        by_voice[turn.voice].setdefault(_fold(turn.messages), turn.messages)
    rng = random.Random(seed)
    questions = []
    for answers in zip(*arms.values(), strict=True):
        turn = answers[0].asked
        available = list(by_voice[turn.voice].values())
        drawn = rng.sample(available, min(_DRAWN, len(available)))
        candidates = {}
        for arm, answer in zip(arms, answers, strict=True):
            own, length = _fold(answer.messages), _count_characters(answer.messages)
            others = [candidate for candidate in drawn if _fold(candidate) != own]
            others.sort(key=lambda one: abs(_count_characters(one) - length))
            distractors = others[: CANDIDATES - 1]
            candidates[arm] = (answer.messages, *distractors)
        questions.append(FitQuestion(turn, candidates))
    return questions


def rank_candidates(
    questions: Sequence[FitQuestion], score: ScoreReplies
) -> dict[str, tuple[Ranked, ...]]:
    """Rank candidates by PMI: log p(words | context) − log p(words), both under an untuned model.

    The context is read once for all candidates of a question, and a candidate is scored once.
    """
    texts = [
        tuple(dict.fromkeys(text for own in question.candidates.values() for text in own if text))
        for question in questions
    ]
    asked = [
        ScoringRequest(question.turn.context, tuple((question.turn.voice, text) for text in own))
        for question, own in zip(questions, texts, strict=True)
    ]
    named = list(dict.fromkeys(reply for request in asked for reply in request.replies))
    parts = [
        ScoringRequest((), tuple(named[start : start + _REPLIES_PER_REQUEST]))
        for start in range(0, len(named), _REPLIES_PER_REQUEST)
    ]
    scores = score([*asked, *parts])
    alone = dict(zip(named, (score for own in scores[len(asked) :] for score in own), strict=True))
    ranked: dict[str, list[Ranked]] = defaultdict(list)
    for question, own, found in zip(questions, texts, scores, strict=False):
        voice, by_text = question.turn.voice, dict(zip(own, found, strict=True))
        by_text[()] = alone[voice, ()] = Score(0.0, 0, 0)
        for arm, candidates in question.candidates.items():
            pmi = tuple(by_text[text].nats - alone[voice, text].nats for text in candidates)
            reply = candidates[0]
            ranked[arm].append(Ranked(question.turn, reply, by_text[reply], pmi))
    return {arm: tuple(own) for arm, own in ranked.items()}


def measure_fit(ranked: Mapping[str, Sequence[Ranked]], real: str, seed: int) -> dict[str, Fit]:
    """Return the recall at one of each arm, also relative to the arm `real` on the same turns."""
    hits = {arm: [float(reply.is_first) for reply in own] for arm, own in ranked.items()}
    sessions = [one.turn.session for one in ranked[real]]
    return {
        arm: Fit(mean(own, sessions, seed), ratio(own, hits[real], sessions, seed))
        for arm, own in hits.items()
    }


def _count_characters(messages: Messages) -> int:
    return sum(map(len, messages))


def _fold(messages: Messages) -> str:
    return "\n".join(messages).casefold()
