"""Requests to engines, and a check that two engines sample from the same distribution."""

from collections import Counter
from dataclasses import replace

from model.artifacts.artifact import Decoding
from model.speaking.engine import GenerationRequest

CONTEXTS = (
    ("Hugo: what about friday? bark bark", "Tiago: shall we go? meow meow"),
    ("Raul: hello there tweet tweet",),
    (),
)
NAMES = ("Hugo", "Tiago", "Raul")
FAIR = Decoding(max_new_tokens=24)
GREEDY = replace(FAIR, top_k=1, candidates=1)
_SAMPLED = replace(FAIR, candidates=50, temperature=1.2, top_k=5, repetition_penalty=1.0)


def request_of(codec, context, name):
    """Return a request for a reply of a voice."""
    label = codec.label_ids(name)
    return GenerationRequest(codec.prompt_ids(context, 384), label, label)


def assert_same_distribution(local, remote, codec):
    """Compare the first two tokens of 500 sampled replies with those of 500 others."""
    asked = request_of(codec, (), "Hugo")

    def draw(engine):
        drawn = [one for _ in range(10) for one in engine.candidates([asked], _SAMPLED)[0]]
        return Counter(tuple(one.ids[:2]) for one in drawn)

    here, there, again = draw(local), draw(remote), draw(local)

    def distance(one, other):
        return sum(abs(one[key] - other[key]) for key in one.keys() | other.keys()) / 1000

    assert here.total() == there.total() == 500
    assert len(here) > 3
    assert distance(here, there) < distance(here, again) + 0.08
