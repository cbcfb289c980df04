"""Turns and answers of three synthetic people with very different lines."""

import random
from dataclasses import replace

from pipeline.evaluation.baselines import answer_by_markov_chain, answer_by_nearest_context
from pipeline.evaluation.fit import make_questions, rank_candidates
from pipeline.evaluation.heldout import (
    Answer,
    HeldOutTurn,
    list_lines,
    make_real_answers,
    silence_voice,
)
from pipeline.evaluation.judge import train_judge
from pipeline.evaluation.likelihood import measure_turns
from pipeline.evaluation.scorecard import Evidence
from pipeline.training.scorer import Score

WAYS = {"Hugo": ("woof", "Bark!"), "Tiago": ("meow", "purr..."), "李雷": ("喵喵", "好的。")}
TOPICS = ("friday", "the match", "dinner", "my boss", "rain", "the train", "music", "a film",
          "the exam", "your dog", "holidays", "the beach", "sleep", "money")  # fmt: skip
VOICES = tuple(sorted(WAYS))


def line(voice, chance, topic=None):
    topic, number = topic or chance.choice(TOPICS), chance.randrange(10**6)
    return f"{chance.choice(WAYS[voice])} what about {topic} {number}"


def turns(count, seed, *, seen=False, sessions=5):
    """So many turns of each voice, of one or two messages about the subject of the context."""
    chance = random.Random(seed)
    made = []
    for number in range(count):
        for voice in VOICES:
            topic = chance.choice(TOPICS)
            context = (
                f"{next_voice(voice)}: did you hear of {topic}?",
                f"{voice}: {line(voice, chance, topic)}",
            )
            said = tuple(line(voice, chance, topic) for _ in range(chance.choice((1, 2))))
            made.append(HeldOutTurn(voice, context, said, seen, number % sessions))
    return tuple(made)


def answers(asked, seed, voice_of=lambda voice: voice):
    """Answers in the way of `voice_of` the real voice, to the subject of the context."""
    chance = random.Random(seed)
    found = []
    for turn in asked:
        topic = turn.context[0].partition(" of ")[2].rstrip("?")
        said = (line(voice_of(turn.voice), chance, topic) for _ in turn.messages)
        found.append(Answer(turn, tuple(said)))
    return tuple(found)


def next_voice(voice):
    return VOICES[(VOICES.index(voice) + 1) % len(VOICES)]


def score_by_words(requests):
    """Score replies by a unigram model of the context: words in view are likelier."""
    return [[_score(request.context, *reply) for reply in request.replies] for request in requests]


def _score(context, name, messages):
    words, seen = " ".join(messages).split(), " ".join(context).replace("?", "").split()
    nats = sum(-1.0 if word in seen else -5.0 for word in words)
    return Score(nats, len(words), len(" ".join(messages)))


def score_by_ways(requests):
    """Score replies as a perfect model does: words are likelier under the name of their way."""

    def score(context, name, messages):
        own = any(way in messages[0] for way in WAYS.get(name, ()))
        found = _score(context, name, messages)
        return replace(found, nats=found.nats - (0 if own else 20))

    return [[score(r.context, *reply) for reply in r.replies] for r in requests]


def evidence(spoken=answers, **changes):
    """A model's evidence; by default it speaks as its people do and knows their names."""
    training, asked = turns(60, 1, sessions=20), turns(40, 2, sessions=10)
    cold = tuple(filter(None, map(silence_voice, asked)))
    arms = {
        "generated": spoken(asked, 4),
        "cold": spoken(cold, 5),
        "real": tuple(make_real_answers(asked)),
        "markov": tuple(answer_by_markov_chain(training, asked, 0)),
        "nearest": tuple(answer_by_nearest_context(training, asked)),
        **changes.pop("arms", {}),
    }
    compared = {arm: arms[arm][:90] for arm in ("real", "generated", "markov", "nearest")}
    ranked = rank_candidates(make_questions(compared, turns(30, 9), 0), score_by_words)
    options = {
        "voices": VOICES,
        "training": training,
        "arms": arms,
        "measured": measure_turns(asked[:90], VOICES, score_by_ways),
        "ranked": ranked,
        "ranked_by_itself": ranked,
        "fit_scorer": "another base",
        "base": "a base",
        "judge": train_judge(list_lines(make_real_answers(turns(60, 7, sessions=20)))),
        "judge_source": "reserved",
    }
    return Evidence(**{**options, **changes})
