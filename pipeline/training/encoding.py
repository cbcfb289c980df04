"""Encode training examples: pairs, or pieces of whole sessions; collate them into batches."""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import dropwhile, islice, pairwise
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from model.artifacts.artifact import Family
from model.artifacts.tokenizer import Codec
from model.chat.conversation import Window
from model.chat.eligibility import WITHHELD
from model.chat.prompt import parse_reply, split_line
from pipeline.dataset.pairs import Pair, SessionLine

if TYPE_CHECKING:
    import datasets

IGNORED = -100
"""The label of a position without a loss (torch's convention)."""

PIECE_LINES = 24
"""Lines of a session in one training example. A prompt of the default window has at most 10."""

_DEFAULT_WINDOW = Window()
_FILLED = 0.5  # share of first pieces that begin with lines of the session before
_BATCH = 1_024  # rows
_ROWS = {"input_ids": pa.list_(pa.int32()), "labels": pa.list_(pa.int32()), "length": pa.int32()}


@dataclass(frozen=True, slots=True)
class Example:
    """One pair as ids: the prompt, the beginning that forces the voice, the reply with its end.

    A reply that was cut has no end. `is_word` is false for newlines, further labels and the end.
    `characters` is the length of the words, for losses that compare across tokenizers.
    """

    voice: str
    prompt: tuple[int, ...]
    forced: tuple[int, ...]
    reply: tuple[int, ...]
    is_word: tuple[bool, ...]
    characters: int

    @property
    def length(self) -> int:
        """Return the number of tokens that go through the model."""
        return len(self.prompt) + len(self.forced) + len(self.reply)


def encode(
    codec: Codec,
    voice: str,
    context: Sequence[str],
    target: Sequence[str],
    limits: tuple[int, int],
) -> Example:
    """Encode a pair; `limits` are the maximum tokens of the prompt and of the reply."""
    reply = codec.reply_ids(voice, target)
    ids, is_word, texts = reply.ids, reply.is_word, target
    if len(ids) < limits[1]:
        ids, is_word = [*ids, codec.end_id], [*is_word, False]
    else:
        ids, is_word = ids[: limits[1]], is_word[: limits[1]]
        texts = parse_reply(voice, codec.reply_text(voice, ids))
    prompt = codec.prompt_ids(context, limits[0])
    return Example(
        voice, tuple(prompt), tuple(reply.forced), tuple(ids), tuple(is_word),
        max(1, sum(map(len, texts))),
    )  # fmt: skip


def encode_pairs(
    pairs: Iterable[Pair],
    codec: Codec,
    family: Family,
    limits: tuple[int, int],
    *,
    speaker_dropout: float = 0.0,
    draws: int = 1,
    seed: int = 0,
) -> "datasets.Dataset":
    """Encode pairs for the Trainer; each row becomes the result of `row_of`.

    Each pair has `draws` rows. In a fraction `speaker_dropout` of them the context has no lines of
    the voice, so that the model learns the voice from its name.
    """
    rng = random.Random(seed)

    def rows() -> Iterator[dict[str, Any]]:
        for pair in pairs:
            for _ in range(draws):
                context = pair.context
                if rng.random() < speaker_dropout:
                    context = hide_voice(context, pair.voice) or context
                yield row_of(encode(codec, pair.voice, context, pair.target, limits), family)

    return _table(rows())


def hide_voice(context: Iterable[str], voice: str) -> tuple[str, ...]:
    """Return the lines of a context that another person said."""
    return tuple(line for line in context if split_line(line)[0] != voice)


def encode_sessions(
    sessions: Sequence[Sequence[SessionLine]],
    codec: Codec,
    limit: int,
    *,
    window: Window = _DEFAULT_WINDOW,
    speaker_dropout: float = 0.0,
    draws: int = 1,
    seed: int = 0,
) -> "datasets.Dataset":
    """Encode sessions for the Trainer of a decoder-only model, cut into pieces of 24 lines.

    The loss covers every line that is a target, with its label. A piece has at most `limit` tokens.
    Each session is cut `draws` times, at different places each time. In a fraction
    `speaker_dropout` of the pieces one person's lines are missing from the first half, so that the
    model learns their voice from their name. Half of the first pieces are preceded by lines of the
    previous session, as many as `window` may add to a short session.
    """
    rng = random.Random(seed)

    def rows() -> Iterator[dict[str, Any]]:
        for _ in range(draws):
            earlier: Sequence[SessionLine] = ()
            for session in sessions:
                for piece in _cut_session(session, earlier, rng):
                    lines = _hide_person(piece, rng) if rng.random() < speaker_dropout else piece
                    yield from _encode_lines(lines, codec, limit)
                earlier = session[max(0, len(session) - window.fill) :]

    return _table(rows())


def row_of(example: Example, family: Family) -> dict[str, Any]:
    """Return an example's `input_ids`, `labels` and `length`; the loss covers the target."""
    target = [*example.forced, *example.reply]
    if family == "encoder-decoder":
        return {"input_ids": list(example.prompt), "labels": target, "length": example.length}
    return {
        "input_ids": [*example.prompt, *target],
        "labels": [IGNORED] * len(example.prompt) + target,
        "length": example.length,
    }


@dataclass(frozen=True, slots=True)
class Collator:
    """Pads rows to the longest of a batch, and to at least `min_inputs` and `min_labels` columns.

    Tensors are [batch, columns]. An encoder-decoder's rows are padded on the right, a decoder-only
    model's on the left, so that all texts end in the last column; its labels begin one column
    before the first one with a loss.
    """

    family: Family
    pad_id: int
    min_inputs: int = 0
    min_labels: int = 0

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return a batch of tensors."""
        import torch

        on_left = self.family == "decoder-only"
        inputs, labels = ([row[name] for row in rows] for name in ("input_ids", "labels"))
        width = max(self.min_inputs, *map(len, inputs))
        seen = torch.tensor(_padded([[1] * len(row) for row in inputs], 0, width, on_left=on_left))
        batch = {
            "input_ids": torch.tensor(_padded(inputs, self.pad_id, width, on_left=on_left)),
            "attention_mask": seen,
        }
        if on_left:
            kept = 1 + max(sum(1 for _ in dropwhile(IGNORED.__eq__, row)) for row in labels)
            padded = torch.tensor(_padded(labels, IGNORED, width, on_left=True))
            positions = (seen.cumsum(-1) - 1).clamp(min=0)
            return {**batch, "position_ids": positions, "labels": padded[:, -kept:]}
        depth = max(self.min_labels, *map(len, labels))
        return {**batch, "labels": torch.tensor(_padded(labels, IGNORED, depth, on_left=False))}


def _padded(
    rows: Sequence[list[int]], filler: int, width: int, *, on_left: bool
) -> list[list[int]]:
    gaps = [[filler] * (width - len(row)) for row in rows]
    return [gap + row if on_left else row + gap for gap, row in zip(gaps, rows, strict=True)]


def _table(rows: Iterator[dict[str, Any]]) -> "datasets.Dataset":
    import datasets

    batches = []
    while batch := list(islice(rows, _BATCH)):
        columns = [pa.array([row[name] for row in batch], kind) for name, kind in _ROWS.items()]
        batches.append(pa.record_batch(columns, schema=pa.schema(list(_ROWS.items()))))
    table = pa.Table.from_batches(batches, pa.schema(list(_ROWS.items())))
    return datasets.Dataset(table)


def _cut_session(
    session: Sequence[SessionLine], earlier: Sequence[SessionLine], rng: random.Random
) -> Iterator[list[SessionLine]]:
    """Yield pieces of a session; half of the first ones begin with earlier lines."""
    first = rng.randrange(1, PIECE_LINES + 1)
    ends = [0, *range(first, len(session), PIECE_LINES), len(session)]
    for start, end in pairwise(ends):
        piece = list(session[start:end])
        if not start and earlier and rng.random() < _FILLED:
            last, line = earlier[-1], session[0]
            if (last.topic_id, last.session + 1) == (line.topic_id, line.session):
                piece[:0] = (replace(earlier_line, is_target=False) for earlier_line in earlier)
        yield piece


def _hide_person(piece: Sequence[SessionLine], rng: random.Random) -> list[SessionLine]:
    """Return a piece in which the first half lacks one person's lines.

    The person speaks in the second half. If this joins two turns of another person, they stay two
    turns.
    """
    half = len(piece) // 2
    speakers = sorted({split_line(one.line)[0] or "" for one in piece[half:] if one.is_target})
    if not speakers:
        return list(piece)
    hidden = rng.choice(speakers)
    kept: list[SessionLine] = []
    is_after_hidden = False
    for index, line in enumerate(piece):
        speaker = split_line(line.line)[0]
        if index < half and speaker == hidden:
            is_after_hidden = True
            continue
        if is_after_hidden and kept and split_line(kept[-1].line)[0] == speaker:
            kept[-1] = replace(kept[-1], pauses=True)
        is_after_hidden = False
        kept.append(line)
    return kept


def _encode_lines(
    piece: Iterable[SessionLine], codec: Codec, limit: int
) -> Iterator[dict[str, Any]]:
    """Yield rows with the lines of a piece; a new row begins where the limit is reached."""
    prompt = codec.prompt_ids((), limit)
    ids, labels = list(prompt), [IGNORED] * len(prompt)
    before: SessionLine | None = None
    for line in piece:
        if before and before.line == line.line == WITHHELD:
            continue
        own = codec.line_ids(line.line)[: limit - len(prompt) - 1]
        if len(ids) + len(own) + 1 > limit:
            yield from _finish_row(ids, labels)
            ids, labels, before = list(prompt), [IGNORED] * len(prompt), None
        ids += [*own, codec.newline_id]
        if not line.is_target:
            labels += [IGNORED] * (len(own) + 1)
        else:
            name = split_line(line.line)[0] or ""
            # After a pause the reply has ended: who speaks next is not part of it.
            skipped = len(codec.label_ids(name)) if before and before.pauses else 0
            end = codec.end_id if line.pauses else codec.newline_id
            labels += [*([IGNORED] * skipped), *own[skipped:], end]
        before = line
    yield from _finish_row(ids, labels)


def _finish_row(ids: list[int], labels: list[int]) -> Iterator[dict[str, Any]]:
    if any(label != IGNORED for label in labels):
        yield {"input_ids": ids, "labels": labels, "length": len(ids)}
