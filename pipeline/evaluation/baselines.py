"""Baselines: a Markov chain for each person, and the reply to the most similar context."""

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence

from nltk.lm import MLE
from nltk.lm.preprocessing import padded_everygram_pipeline
from sklearn.feature_extraction.text import TfidfVectorizer

from model.chat.prompt import split_line
from pipeline.evaluation.heldout import Answer, Turn
from pipeline.evaluation.text_metrics import words

_ORDER = 3  # two words determine the next, as in popular Telegram bots
_MAX_WORDS = 60
_HEARD = 3  # lines that the copier looks at


def markov(training: Iterable[Turn], asked: Sequence[Turn], seed: int) -> list[Answer]:
    """Answer with a trigram model of the person's messages, in turns of the usual length."""
    chance = random.Random(seed)
    own = _by_voice(training)
    models = {voice: _fit(turns) for voice, turns in own.items()}
    return [
        Answer(
            turn,
            tuple(
                _generate(models[turn.voice], chance)
                for _ in chance.choice(own[turn.voice]).messages
            ),
        )
        for turn in asked
    ]


def nearest(training: Iterable[Turn], asked: Sequence[Turn]) -> list[Answer]:
    """Answer with what the person said in training after the most similar lines."""
    own = _by_voice(training)
    answers: dict[int, Answer] = {}
    for voice, turns in own.items():
        numbers = [number for number, turn in enumerate(asked) if turn.voice == voice]
        if numbers:
            found = _nearest(turns, [asked[number] for number in numbers])
            answers |= dict(zip(numbers, found, strict=True))
    return [answers[number] for number in range(len(asked))]


def _nearest(training: Sequence[Turn], asked: Sequence[Turn]) -> list[Answer]:
    terms = TfidfVectorizer(tokenizer=words, token_pattern=None, lowercase=False)
    known = terms.fit_transform([_heard(turn) for turn in training])
    likeness = terms.transform([_heard(turn) for turn in asked]) @ known.T
    best = likeness.toarray().argmax(1)
    return [
        Answer(turn, training[number].messages) for turn, number in zip(asked, best, strict=True)
    ]


def _heard(turn: Turn) -> str:
    return " ".join(split_line(line)[1] for line in turn.context[-_HEARD:]) or "…nothing"


def _by_voice(turns: Iterable[Turn]) -> dict[str, list[Turn]]:
    found: dict[str, list[Turn]] = defaultdict(list)
    for turn in turns:
        found[turn.voice].append(turn)
    return dict(found)


def _fit(turns: Iterable[Turn]) -> MLE:
    """Fit a trigram model to every message of these turns."""
    lines = [text.split() for turn in turns for text in turn.messages]
    model = MLE(_ORDER)
    model.fit(*padded_everygram_pipeline(_ORDER, lines))
    return model


def _generate(model: MLE, chance: random.Random) -> str:
    """Sample words until the end of the message or `_MAX_WORDS`."""
    history = ["<s>"] * (_ORDER - 1)
    for _ in range(_MAX_WORDS):
        word = model.generate(text_seed=history, random_seed=chance)
        if word == "</s>":
            break
        history.append(word)
    return " ".join(history[_ORDER - 1 :])
