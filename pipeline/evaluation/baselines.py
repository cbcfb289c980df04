"""Baselines: a Markov chain for each person, and the reply to the most similar context."""

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence

from nltk.lm import MLE
from nltk.lm.preprocessing import padded_everygram_pipeline
from sklearn.feature_extraction.text import TfidfVectorizer

from model.chat.prompt import split_line
from pipeline.evaluation.heldout import Answer, HeldOutTurn
from pipeline.evaluation.text_metrics import split_words

_ORDER = 3  # two words determine the next, as in popular Telegram bots
_MAX_WORDS = 60
_CONTEXT_LINES = 3  # that are compared


def answer_by_markov_chain(
    training: Iterable[HeldOutTurn], asked: Sequence[HeldOutTurn], seed: int
) -> list[Answer]:
    """Answer with a trigram model of the person's messages, in turns of the usual length."""
    rng = random.Random(seed)
    own = _group_by_voice(training)
    models = {}
    for voice, turns in own.items():
        lines = [text.split() for turn in turns for text in turn.messages]
        models[voice] = MLE(_ORDER)
        models[voice].fit(*padded_everygram_pipeline(_ORDER, lines))
    return [
        Answer(
            turn,
            tuple(_generate(models[turn.voice], rng) for _ in rng.choice(own[turn.voice]).messages),
        )
        for turn in asked
    ]


def answer_by_nearest_context(
    training: Iterable[HeldOutTurn], asked: Sequence[HeldOutTurn]
) -> list[Answer]:
    """Answer with what the person said in training after the most similar lines."""
    own = _group_by_voice(training)
    answers: dict[int, Answer] = {}
    for voice, turns in own.items():
        numbers = [number for number, turn in enumerate(asked) if turn.voice == voice]
        if not numbers:
            continue
        vectorizer = TfidfVectorizer(tokenizer=split_words, token_pattern=None, lowercase=False)
        contexts = vectorizer.fit_transform([_join_context(turn) for turn in turns])
        questions = vectorizer.transform([_join_context(asked[number]) for number in numbers])
        best = (questions @ contexts.T).toarray().argmax(1)
        for number, nearest in zip(numbers, best, strict=True):
            answers[number] = Answer(asked[number], turns[nearest].messages)
    return [answers[number] for number in range(len(asked))]


def _join_context(turn: HeldOutTurn) -> str:
    return " ".join(split_line(line)[1] for line in turn.context[-_CONTEXT_LINES:]) or "…nothing"


def _group_by_voice(turns: Iterable[HeldOutTurn]) -> dict[str, list[HeldOutTurn]]:
    found: dict[str, list[HeldOutTurn]] = defaultdict(list)
    for turn in turns:
        found[turn.voice].append(turn)
    return dict(found)


def _generate(model: MLE, rng: random.Random) -> str:
    """Sample words until the end of the message or `_MAX_WORDS`."""
    history = ["<s>"] * (_ORDER - 1)
    for _ in range(_MAX_WORDS):
        word = model.generate(text_seed=history, random_seed=rng)
        if word == "</s>":
            break
        history.append(word)
    return " ".join(history[_ORDER - 1 :])
