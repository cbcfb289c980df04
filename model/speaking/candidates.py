"""Filter and rank candidate replies; forced beginnings."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from model.artifacts.artifact import Decoding
from model.artifacts.tokenizer import Codec
from model.chat.eligibility import VOICE_EMOJI, is_speakable
from model.chat.names import make_printable
from model.chat.prompt import LINE_BREAK, render_reply, split_line
from model.chat.words import split_words, word_runs
from model.errors import VoiceError
from model.redaction.redact import find_private_parts
from model.speaking.copy_index import RUN_LENGTH
from model.speaking.engine import Engine

_SENTENCE_END = re.compile(r"[.!?…。！？]+(?=\s|$)")
REJECTIONS = ("empty", "brackets", "damaged", "label", "private", "opening", "repeats", "copied")
"""Reasons to reject a candidate. The last three: it lacks the required opening words, it repeats
the conversation or itself, or it repeats a training message."""

_CIRCLE = 4
"""Words in a row that come twice only where a model goes in circles."""


def is_sayable(messages: Sequence[str], names: Iterable[str]) -> bool:
    """Whether a candidate is acceptable, see `find_rejection`."""
    return not find_rejection(messages, names)


def find_rejection(messages: Sequence[str], names: Iterable[str]) -> str:
    """Return which of `REJECTIONS` applies to a candidate, or "".

    It must have words, no bracket, no broken character, no private data, and no `Name:` of these
    names, which would be somebody else's line.
    """
    text = "\n".join(messages)
    if not messages or not all(map(is_speakable, messages)):
        return "brackets" if "[" in text else "empty"
    if "[" in text:
        return "brackets"
    if "\ufffd" in text:
        return "damaged"
    if ":" in text and any(_has_label(text, name) for name in names):
        return "label"
    return "private" if find_private_parts(text) else ""


def is_fresh(messages: Sequence[str], context: Sequence[str]) -> bool:
    """Whether a candidate neither repeats what was said nor itself.

    A short everyday line may come again, but not right after itself.
    """
    said = [_parts(split_line(line)[1].replace(LINE_BREAK, "\n")) for line in context]
    stale = [words for words in said if len(words) >= _CIRCLE] + said[-1:]
    spoken = [_parts(message) for message in messages]
    if any(words in stale or spoken.count(words) > 1 for words in spoken):
        return False
    turn = [word for words in spoken for word in words]
    heard = {run for words in said for run in word_runs(words, RUN_LENGTH)}
    return heard.isdisjoint(word_runs(turn, RUN_LENGTH)) and not _goes_in_circles(turn)


def list_speakers(context: Iterable[str]) -> list[str]:
    """Return the names before rendered lines, oldest first; a withheld line has none."""
    return [name for name, _ in map(split_line, context) if name is not None]


def cut_to_sentences(messages: tuple[str, ...]) -> tuple[str, ...]:
    """Return a turn that was cut for its length without its unfinished end, () if all of it is."""
    if not messages:
        return ()
    *whole, last = messages
    ends = [match.end() for match in _SENTENCE_END.finditer(last)]
    return (*whole, last[: ends[-1]]) if ends else tuple(whole)


def _has_label(text: str, name: str) -> bool:
    """Whether `name:` is in a text, in any case as a word, in its own at the end of one too."""
    as_word = rf"(?<!\w){re.escape(name)}\s*:"
    return f"{name}:" in text or re.search(as_word, text, re.IGNORECASE) is not None


def _parts(message: str) -> list[str]:
    """Return a message's words, or the message where it has none, such as a lone emoji."""
    return split_words(message) or [message.strip()]


def _goes_in_circles(words: Sequence[str]) -> bool:
    """Whether four words in a row come twice."""
    found = list(word_runs(words, _CIRCLE))
    return len(set(found)) < len(found)


@dataclass(frozen=True, slots=True)
class Reply:
    """A candidate's messages, and how likely the voice in this context was to say them."""

    messages: tuple[str, ...]
    score: float


@dataclass(frozen=True, slots=True)
class ReplyScores:
    """Log-probabilities of one reply: here, without the context, and so by the others' names."""

    here: float
    alone: float
    others: tuple[float, ...]
    tokens: int


def choose_reply(
    engine: Engine,
    codec: Codec,
    replies: Sequence[Reply],
    names: Sequence[str],
    decoding: Decoding,
) -> Reply:
    """Return the reply of most merit; `names` are the voice and those it is told from."""
    if len(replies) == 1:
        return replies[0]
    found = score_candidates(engine, codec, replies, names)
    merits = [compute_merit(one, decoding) for one in found]
    return replies[merits.index(max(merits))]


def compute_merit(found: ReplyScores, decoding: Decoding) -> float:
    """Return how much likelier the voice and the context make a reply, in nats, by its length.

    The context's part is the mutual information of Li et al. 2016 (arXiv:1510.03055): "I don't
    know", which fits everywhere, gives way to what fits here. The voice's is the same against the
    mean of the others: what everybody would say gives way to what this friend would.
    """
    context = found.here - found.alone
    voice = found.alone - _log_mean_exp(found.others) if found.others else 0.0
    whole = decoding.context_weight * context + decoding.voice_weight * voice
    return whole / math.pow(found.tokens, decoding.length_power)


def score_candidates(
    engine: Engine, codec: Codec, replies: Sequence[Reply], names: Sequence[str]
) -> list[ReplyScores]:
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
        ReplyScores(reply.score, own, tuple(others), length)
        for reply, (own, *others), length in zip(replies, rows, lengths, strict=True)
    ]


def _log_mean_exp(scores: Sequence[float]) -> float:
    top = max(scores)
    return top + math.log(fmean(math.exp(score - top) for score in scores))


MAX_OPENING = 200


class OpeningError(VoiceError):
    """No reply may begin with these words."""


def clean_opening(words: str, names: Iterable[str]) -> str:
    """Return words as the beginning of a reply: on one line, without what nobody can see.

    Raises:
        OpeningError: They are too long, or nothing that a voice may say: they hold private data,
            a bracket, the bot's mask, or one of these names as a speaker's label.
    """
    line = " ".join(make_printable(" ".join(words.split())).split())
    if len(line) > MAX_OPENING:
        raise OpeningError(
            f"a reply begins with {MAX_OPENING} characters at most, these are {len(line)}: "
            "write fewer"
        )
    if VOICE_EMOJI in line or not is_sayable((line,) if line else (), names):
        raise OpeningError(
            "no reply may begin with that: write words alone, without brackets, private data or "
            "a name and a colon"
        )
    return line


def continues_opening(messages: Sequence[str], begins: str) -> bool:
    """Whether a turn begins with these words and goes on after them; without words any does."""
    text = "\n".join(messages)
    return not begins or (text.startswith(begins) and bool(text[len(begins) :].strip()))
