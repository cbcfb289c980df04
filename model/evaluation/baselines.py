"""What a model must beat: a Markov chain per person, and a copier of the nearest training turn."""

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from sklearn.feature_extraction.text import TfidfVectorizer

from model.evaluation.turns import Answer, Turn
from model.evaluation.words import words
from model.prompt import split_line

_ORDER = 2  # words, as the popular Telegram bots do
_MOST_WORDS = 60
_HEARD = 3  # lines that the copier looks at
_END = ""  # no word is empty

Chain = Mapping[tuple[str, ...], Sequence[str]]


def markov(training: Iterable[Turn], asked: Sequence[Turn], seed: int) -> list[Answer]:
    """Answer with a chain over the person's own words, as many messages as they send."""
    chance = random.Random(seed)
    own = _by_voice(training)
    chains = {voice: _chain(turns) for voice, turns in own.items()}
    return [
        Answer(
            turn,
            tuple(
                _walk(chains[turn.voice], chance) for _ in chance.choice(own[turn.voice]).messages
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


def _chain(turns: Iterable[Turn]) -> Chain:
    """Return which words follow each two words, as often as they do."""
    follow: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for turn in turns:
        for text in turn.messages:
            state = (_END,) * _ORDER
            for word in (*text.split(), _END):
                follow[state].append(word)
                state = (*state[1:], word)
    return dict(follow)


def _walk(chain: Chain, chance: random.Random) -> str:
    state: tuple[str, ...] = (_END,) * _ORDER
    said: list[str] = []
    while len(said) < _MOST_WORDS and (word := chance.choice(chain[state])):
        said.append(word)
        state = (*state[1:], word)
    return " ".join(said)
