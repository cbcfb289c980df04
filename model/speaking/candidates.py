"""Filter and rank candidate replies; check forced beginnings."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from model.artifacts.artifact import Decoding
from model.artifacts.tokenizer import Codec
from model.chat.eligibility import VOICE_EMOJI, is_speakable
from model.chat.names import make_printable
from model.chat.prompt import LINE_BREAK, split_line
from model.chat.words import split_words, word_runs
from model.errors import VoiceError
from model.redaction.redact import find_private_parts
from model.speaking.copy_index import RUN_LENGTH
from model.speaking.engine import Engine
from model.speaking.voice_classifier import VoiceTable

REJECTIONS = ("empty", "brackets", "damaged", "label", "private", "opening", "repeats", "copied")
"""Reasons to reject a candidate. The last three: it lacks the required opening words, it repeats
the conversation or itself, or it repeats a training message."""

MAX_OPENING = 200
"""Maximum characters of the words that a reply must begin with."""

_LOOP_LENGTH = 4
"""Length in words of a run; if a run occurs twice in a reply, the model is stuck in a loop."""

_SENTENCE_END = re.compile(r"[.!?…。！？]+(?=\s|$)")


class OpeningError(VoiceError):
    """No reply may begin with these words."""


@dataclass(frozen=True, slots=True)
class ScoredReply:
    """A candidate's messages, and their log-probability for the voice in this context."""

    messages: tuple[str, ...]
    score: float


@dataclass(frozen=True, slots=True)
class ReplyScores:
    """What the choice of a reply depends on.

    `here` and `alone` are the log-probabilities of its `tokens` tokens for the voice, in the
    context and without it. `voice` are the log-odds of the voice, `length` is the log-density of
    its length for the voice, in nats; both are 0 without a table of voices.
    """

    here: float
    alone: float
    tokens: int
    voice: float = 0.0
    length: float = 0.0


def clean_opening(words: str, names: Iterable[str]) -> str:
    """Return the words that a reply must begin with, on one line and without invisible characters.

    Raises:
        OpeningError: They are too long, or not allowed in a reply: private data, a bracket, the
            voice emoji, or one of these names as a speaker's label.
    """
    line = " ".join(make_printable(" ".join(words.split())).split())
    if len(line) > MAX_OPENING:
        raise OpeningError(
            f"the opening words have {len(line)} characters, more than {MAX_OPENING}: use fewer"
        )
    if VOICE_EMOJI in line or find_rejection((line,) if line else (), names):
        raise OpeningError(
            "no reply may begin with that: use plain words, without brackets, private data, or a "
            "name and a colon"
        )
    return line


def find_rejection(messages: Sequence[str], names: Iterable[str]) -> str:
    """Return which of `REJECTIONS` applies to a single candidate, or "".

    It must have words, and no bracket, broken character or private data. It must not have one of
    these names before a colon either, because that looks like somebody else's line.
    """
    text = "\n".join(messages)
    if "[" in text:
        return "brackets"
    if not messages or not all(map(is_speakable, messages)):
        return "empty"
    if "\ufffd" in text:
        return "damaged"
    if ":" in text:
        for name in names:
            # A whole word in any case; with the name's own capitals, also the end of a longer word.
            as_word = rf"(?<!\w){re.escape(name)}\s*:"
            if f"{name}:" in text or re.search(as_word, text, re.IGNORECASE):
                return "label"
    return "private" if find_private_parts(text) else ""


def is_fresh(messages: Sequence[str], context: Sequence[str]) -> bool:
    """Whether a candidate repeats neither the conversation nor itself.

    A single word or emoji may occur twice in the context, but not twice in a row. In the demo's
    chat, 6.1 % of lines of one word repeat one of the ten lines before, and 0.1 % of longer lines.
    """

    def split(message: str) -> list[str]:
        return split_words(message) or [message.strip()]  # such as a lone emoji

    earlier = [split(split_line(line)[1].replace(LINE_BREAK, "\n")) for line in context]
    reply = [split(message) for message in messages]
    said_twice = [words for words in earlier if earlier.count(words) > 1]
    longer = [words for words in earlier if len(words) > 1]
    not_again = longer + said_twice + earlier[-1:]
    if any(words in not_again or reply.count(words) > 1 for words in reply):
        return False
    turn = [word for words in reply for word in words]
    earlier_runs = {run for words in earlier for run in word_runs(words, RUN_LENGTH)}
    loops = list(word_runs(turn, _LOOP_LENGTH))
    return earlier_runs.isdisjoint(word_runs(turn, RUN_LENGTH)) and len(set(loops)) == len(loops)


def continues_opening(messages: Sequence[str], opening: str) -> bool:
    """Whether a turn begins with these words and has more after them; true if there are none."""
    text = "\n".join(messages)
    return not opening or (text.startswith(opening) and bool(text[len(opening) :].strip()))


def cut_to_sentences(messages: tuple[str, ...]) -> tuple[str, ...]:
    """Return a turn without its unfinished last sentence; it may become empty."""
    if not messages:
        return ()
    *complete, last = messages
    ends = [match.end() for match in _SENTENCE_END.finditer(last)]
    return (*complete, last[: ends[-1]]) if ends else tuple(complete)


def list_speakers(context: Iterable[str]) -> list[str]:
    """Return the names before rendered lines, oldest first; a withheld line has none."""
    return [name for name, _ in map(split_line, context) if name is not None]


def choose_reply(
    engine: Engine,
    codec: Codec,
    replies: Sequence[ScoredReply],
    voice: str,
    decoding: Decoding,
    table: VoiceTable | None,
) -> ScoredReply:
    """Return the highest-scoring reply; without a table of voices only the context counts."""
    if len(replies) == 1:
        return replies[0]
    scores = score_replies(engine, codec, replies, voice, table)
    merits = [compute_merit(score, decoding) for score in scores]
    return replies[merits.index(max(merits))]


def score_replies(
    engine: Engine,
    codec: Codec,
    replies: Sequence[ScoredReply],
    voice: str,
    table: VoiceTable | None,
) -> list[ReplyScores]:
    """Return what the choice depends on, for each reply.

    All replies are scored in one call. Leaving out the context keeps it cheap.
    """
    prompt = codec.prompt_ids((), limit=1 << 20)
    ids = [codec.reply_ids(voice, reply.messages).ids for reply in replies]
    alone = map(sum, engine.scores(prompt, codec.label_ids(voice), ids))
    return [
        ReplyScores(
            reply.score,
            score,
            max(1, len(own)),
            table.log_odds(reply.messages, voice) if table else 0.0,
            table.log_length(reply.messages, voice) if table else 0.0,
        )
        for reply, score, own in zip(replies, alone, ids, strict=True)
    ]


def compute_merit(scores: ReplyScores, decoding: Decoding) -> float:
    """Return the weighted sum of a reply's scores.

    The context's part is the mutual information of Li et al. 2016 (arXiv:1510.03055): it ranks
    lower what fits everywhere, such as "I don't know".
    """
    context = (scores.here - scores.alone) / math.pow(scores.tokens, decoding.length_power)
    return (
        decoding.context_weight * context
        + decoding.voice_weight * scores.voice
        + decoding.length_weight * scores.length
    )
