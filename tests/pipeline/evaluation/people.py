"""Turns and answers of three synthetic people with very different lines."""

import random

from pipeline.evaluation.heldout import Answer, Turn
from pipeline.evaluation.likelihood import Cost
from pipeline.evaluation.scorecard import Evidence, Measured

WAYS = {"Hugo": ("woof", "Bark!"), "Tiago": ("meow", "purr..."), "李雷": ("喵喵", "好的。")}
TOPICS = ("friday", "the match", "dinner", "my boss", "rain", "the train", "music", "a film",
          "the exam", "your dog", "holidays", "the beach", "sleep", "money")  # fmt: skip
VOICES = tuple(sorted(WAYS))


def line(voice, chance):
    topic, number = chance.choice(TOPICS), chance.randrange(10**6)
    return f"{chance.choice(WAYS[voice])} what about {topic} {number}"


def turns(count, seed, *, seen=False):
    """So many turns of each voice, of one or two messages."""
    chance = random.Random(seed)
    return tuple(
        Turn(
            voice,
            (f"Tiago: did you hear of {chance.choice(TOPICS)}?",),
            tuple(line(voice, chance) for _ in range(chance.choice((1, 2)))),
            seen,
        )
        for _ in range(count)
        for voice in VOICES
    )


def answers(asked, seed, voice_of=lambda voice: voice):
    """Answers in the way of `voice_of` the real voice."""
    chance = random.Random(seed)
    return tuple(Answer(turn, (line(voice_of(turn.voice), chance),)) for turn in asked)


def next_voice(voice):
    return VOICES[(VOICES.index(voice) + 1) % len(VOICES)]


def evidence(seed=0, **changes):
    """A perfect model's evidence: it speaks as its people do and knows their names."""
    training, held_out = turns(40, 1), (*turns(15, 2), *turns(5, 3, seen=True))
    cheap, dear = Cost(10.0, 5, 10), Cost(30.0, 5, 10)
    names = tuple(cheap if turn.voice == name else dear for turn in held_out for name in VOICES)
    measured = Measured(
        held_out, (cheap,) * len(held_out), (dear,) * len(held_out),
        (Cost(20.0, 5, 10),) * len(held_out), names,
    )  # fmt: skip
    arms = {
        "generated": answers(held_out, 4),
        "unranked": answers(held_out, 5),
        "swapped": answers(held_out, 6, next_voice),
        "base": tuple(Answer(turn, ("as an AI language model I cannot",)) for turn in held_out),
    }
    options = {
        "voices": VOICES,
        "training": training,
        "held_out": held_out,
        "arms": arms,
        "measured": measured,
        "candidates": 4,
    }
    return Evidence(**{**options, **changes})
