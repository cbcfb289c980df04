"""Which of several candidates is spoken: the one most like this voice, and most to the point."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from model.artifact import Decoding
from model.engine import Engine
from model.prompt import render_reply
from model.tokenizer import Codec


@dataclass(frozen=True, slots=True)
class Reply:
    """A candidate's messages, and how likely the voice in this context was to say them."""

    messages: tuple[str, ...]
    score: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """Log-probabilities of one reply: here, without the context, and so by the others' names."""

    here: float
    alone: float
    others: tuple[float, ...]
    tokens: int


def fittest(
    engine: Engine,
    codec: Codec,
    replies: Sequence[Reply],
    names: Sequence[str],
    decoding: Decoding,
) -> Reply:
    """Return the reply of most merit; `names` are the voice and those it is told from."""
    if len(replies) == 1:
        return replies[0]
    found = evidence(engine, codec, replies, names)
    merits = [merit(one, decoding) for one in found]
    return replies[merits.index(max(merits))]


def merit(found: Evidence, decoding: Decoding) -> float:
    """Return how much likelier the voice and the context make a reply, in nats, by its length.

    The context's part is the mutual information of Li et al. 2016 (arXiv:1510.03055): "I don't
    know", which fits everywhere, gives way to what fits here. The voice's is the same against the
    mean of the others: what everybody would say gives way to what this friend would.
    """
    context = found.here - found.alone
    voice = found.alone - _log_mean_exp(found.others) if found.others else 0.0
    whole = decoding.context_weight * context + decoding.voice_weight * voice
    return whole / math.pow(found.tokens, decoding.length_power)


def evidence(
    engine: Engine, codec: Codec, replies: Sequence[Reply], names: Sequence[str]
) -> list[Evidence]:
    """Score each reply by each name in one call, without the context: that is short, so cheap."""
    nothing = codec.prompt_ids((), limit=1 << 20)
    asked = [
        codec.reply_ids(name, render_reply(reply.messages)) for reply in replies for name in names
    ]
    forced, ids = zip(*asked, strict=True)
    scores = [sum(row) for row in engine.scores([nothing] * len(asked), forced, ids)]
    rows = [scores[at : at + len(names)] for at in range(0, len(scores), len(names))]
    lengths = [len(row) + 1 for row in ids[:: len(names)]]
    return [
        Evidence(reply.score, own, tuple(others), length)
        for reply, (own, *others), length in zip(replies, rows, lengths, strict=True)
    ]


def _log_mean_exp(scores: Sequence[float]) -> float:
    top = max(scores)
    return top + math.log(fmean(math.exp(score - top) for score in scores))
