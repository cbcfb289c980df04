"""Encode prompts and replies without losing any text of the chat."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from model.chat.prompt import LINE_BREAK, TEMPLATE, replace_breaks, speaker_label, split_line
from model.errors import ArtifactError, BaseError, describe_error

_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
_NEWLINES = ("\n", "Ċ", "<0x0A>")  # in T5's extended, byte-level and byte-fallback vocabularies
_SPACE = "▁"  # the character for a space in a unigram vocabulary
_UNUSED_SCORE = -1e4  # spelling out the characters of a piece with this score is always better
_PRIVATE_USE = range(0xF0000, 0xFFFFE)  # characters that no vocabulary has

_LOSSLESS: Mapping[str, Any] = {
    "normalizer": {"type": "Prepend", "prepend": _SPACE},
    "pre_tokenizer": {
        "type": "Metaspace", "replacement": _SPACE, "prepend_scheme": "never", "split": True,
    },
    "decoder": {
        "type": "Sequence",
        "decoders": [
            {"type": "Replace", "pattern": {"String": _SPACE}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ],
    },
}  # fmt: skip
"""A unigram tokenizer's pipeline without any loss of text.

One space is added before a text, as in SentencePiece. Bytes are decoded after pieces, so that a `▁`
made of bytes is not replaced by a space.
"""


@dataclass(frozen=True, slots=True)
class ReplyIds:
    """A reply as ids: those that force its voice, and those of its lines, without the end.

    `is_word` is false for a newline and for a label at the beginning of a further line.
    """

    forced: list[int]
    ids: list[int]
    is_word: list[bool]


@dataclass(frozen=True, slots=True)
class Codec:
    """A tokenizer and the ids of its end, padding and newline tokens.

    Each line of a prompt is encoded separately, and so is its label. So a line has the same ids in
    a context and in a reply, and no token spans two lines, whatever the tokenizer would merge.
    """

    tokenizer: Tokenizer
    end_id: int
    pad_id: int
    newline_id: int

    def prompt_ids(self, context: Sequence[str], limit: int) -> list[int]:
        """Return a prompt's ids, with the special tokens that the base expects around it.

        If there are more than `limit`, the oldest lines are dropped, and then the beginning of the
        newest line's text.
        """
        before, after = self.special_ids()
        for part in TEMPLATE.split("\n")[:-1]:
            before += [*self._encode(part), self.newline_id] if part else [self.newline_id]
        room = limit - len(before) - len(after)
        lines: list[list[int]] = []
        for line in reversed(context):
            ids = [*self.line_ids(line), self.newline_id]
            if len(ids) > room and not lines:
                ids = self._shorten(line, room)
            if len(ids) > room:
                break
            room -= len(ids)
            lines.append(ids)
        return [*before, *(number for ids in reversed(lines) for number in ids), *after]

    def line_ids(self, line: str) -> list[int]:
        """Return the ids of a rendered line, without a newline."""
        name, words = split_line(line)
        if name is None:
            return self._encode(line)
        label = self.label_ids(name)
        return [*label, *self._word_ids(name, label, words)]

    def reply_ids(self, name: str, texts: Sequence[str]) -> ReplyIds:
        """Return the ids of the messages of a turn."""
        label = self.label_ids(name)
        between = [self.newline_id, *label]
        ids: list[int] = []
        is_word: list[bool] = []
        for text in texts:
            if ids:
                ids += between
                is_word += [False] * len(between)
            words = self._word_ids(name, label, replace_breaks(text))
            ids += words
            is_word += [True] * len(words)
        return ReplyIds(label, ids, is_word)

    def label_ids(self, name: str) -> list[int]:
        """Return the ids that force a voice."""
        return self._encode(speaker_label(name))

    def reply_text(self, name: str, ids: Sequence[int]) -> str:
        """Return the text of a reply's ids: its lines after `speaker_label(name)`."""
        return self.text([*self.label_ids(name), *ids])[len(speaker_label(name)) :]

    def text(self, ids: Iterable[int]) -> str:
        """Return the text of ids; each line is decoded separately, as it was encoded."""
        lines: list[list[int]] = [[]]
        for number in ids:
            if number == self.newline_id:
                lines.append([])
            else:
                lines[-1].append(number)
        return "\n".join(self.tokenizer.decode(own, skip_special_tokens=True) for own in lines)

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """Return the tokens of ids, as CTranslate2 needs them."""
        return [self.tokenizer.id_to_token(number) or "" for number in ids]

    def ids(self, tokens: Iterable[str]) -> list[int]:
        """Return the ids of tokens, without tokens that only pad the weights' rows."""
        numbers = (self.tokenizer.token_to_id(token) for token in tokens)
        return [number for number in numbers if number is not None]

    def save(self, path: Path) -> None:
        """Write the tokenizer, with its end and padding tokens, as one file."""
        value = json.loads(self.tokenizer.to_str())
        value["understudy"] = {"end_id": self.end_id, "pad_id": self.pad_id}
        path.write_text(json.dumps(value, ensure_ascii=False), "utf-8")

    def special_ids(self) -> tuple[list[int], list[int]]:
        """Return the ids that the base expects before and after a prompt."""
        bare = self.tokenizer.encode("a", add_special_tokens=False).ids
        ids = self.tokenizer.encode("a", add_special_tokens=True).ids
        start = next(n for n in range(len(ids)) if ids[n : n + len(bare)] == bare)
        return ids[:start], ids[start + len(bare) :]

    def _word_ids(self, name: str, label: list[int], words: str) -> list[int]:
        """Return the ids of words after a label, separated by a space."""
        ids = self._encode(f"{speaker_label(name)} {words}")
        return ids[len(label) :] if ids[: len(label)] == label else self._encode(f" {words}")

    def _shorten(self, line: str, room: int) -> list[int]:
        """Return the ids of the end of a line, with its label and a newline; empty if none fit."""
        name, colon, words = line.partition(": ")
        while words:
            words = words[len(words) // 8 + 1 :]
            ids = [*self.line_ids(f"{name}{colon}{words}"), self.newline_id]
            if len(ids) <= room:
                return ids
        return []

    def _encode(self, text: str) -> list[int]:
        """Return a text's ids without special tokens.

        In a vocabulary with byte pieces `▁` means a space. A typed `▁` is first replaced by a
        character that is spelled in bytes, and then these bytes by those of `▁`.
        """
        if _SPACE not in text or self.tokenizer.token_to_id(_BYTES[0]) is None:
            ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
            return ids
        substitute = next(
            character
            for character in map(chr, _PRIVATE_USE)
            if character not in text and self.tokenizer.token_to_id(character) is None
        )
        old, new = (
            self.ids(_BYTES[byte] for byte in character.encode())
            for character in (substitute, _SPACE)
        )
        result: list[int] = []
        for number in self._encode(text.replace(_SPACE, substitute)):
            result.append(number)
            if result[-len(old) :] == old:
                result[-len(old) :] = new
        return result


def make_codec(tokenizer: Tokenizer, end_id: int, pad_id: int) -> Codec:
    """Return a codec in which nobody can type a special token: `</s>` in a chat is text.

    Raises:
        BaseError: The tokenizer has no token for a newline.
    """
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    newlines = (tokenizer.token_to_id(token) for token in _NEWLINES)
    newline_id = next((number for number in newlines if number is not None), None)
    if newline_id is None:
        raise BaseError("this base's tokenizer has no token for a newline: choose another base")
    return Codec(tokenizer, end_id, pad_id, newline_id)


def load_codec(path: Path) -> Codec:
    """Read a file from `Codec.save`.

    Raises:
        ArtifactError: The file is missing or damaged.
    """
    try:
        value = json.loads(path.read_text("utf-8"))
        own = value.pop("understudy")
        end_id, pad_id = int(own["end_id"]), int(own["pad_id"])
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} is damaged ({describe_error(error)}): train again") from error
    try:
        tokenizer = Tokenizer.from_str(json.dumps(value))
    except Exception as error:  # tokenizers raises nothing narrower
        raise ArtifactError(f"{path} is damaged ({describe_error(error)}): train again") from error
    return make_codec(tokenizer, end_id, pad_id)


def extend_unigram(tokenizer: Tokenizer, texts: Iterable[str]) -> Tokenizer:
    """Return T5's tokenizer with a vocabulary that loses nothing of these texts.

    New pieces (newlines, the texts' characters, and 256 bytes for all others) follow the existing
    ones. Existing ids and scores stay, so a text that lost nothing before has the same ids. The
    normalizer, which loses characters and repeated spaces, is removed. A typed special token or
    byte (`</s>`, `<0x41>`) is text, and is spelled out.

    Raises:
        BaseError: The vocabulary is not a unigram vocabulary.
    """
    value = json.loads(tokenizer.to_str())
    if value["model"]["type"] != "Unigram":
        raise BaseError(
            f"this base's tokenizer is of type {value['model']['type']}; T5, T5 v1.1, FLAN-T5 and "
            "mT5 have a unigram vocabulary"
        )
    vocabulary: list[list[Any]] = value["model"]["vocab"]
    score = min(score for _, score in vocabulary)
    special = {token["content"] for token in value["added_tokens"] if token["special"]}
    filler = _fill_rows(len(vocabulary), value["added_tokens"], score)
    existing = {piece for piece, _ in [*vocabulary, *filler]} | special
    counts = Counter(
        c for text in [*texts, *special, *_BYTES] for c in text if c not in (" ", _SPACE)
    )
    in_filler = [c for piece, _ in filler for c in piece]
    characters = [*sorted(counts, key=lambda c: (-counts[c], c)), *in_filler]
    pieces = dict.fromkeys([_SPACE, "\n", LINE_BREAK, *characters, *_BYTES])
    vocabulary += [*filler, *([piece, score] for piece in pieces if piece not in existing)]
    # SentencePiece never matches control or byte pieces in text, but this tokenizer would.
    for entry in vocabulary:
        if entry[0] in special or entry[0] in _BYTES:
            entry[1] = _UNUSED_SCORE
    value["added_tokens"] = [token for token in value["added_tokens"] if token["special"]]
    value["model"]["byte_fallback"] = True
    return Tokenizer.from_str(json.dumps({**value, **_LOSSLESS}))


def cut_bpe(codec: Codec, texts: Iterable[str], frequent: int) -> tuple[Codec, list[int]]:
    """Return a codec with fewer pieces, and for each of them its id in the original vocabulary.

    It keeps the pieces of these texts (names, messages and rendered lines), bytes, special tokens
    in use, the `frequent` most frequent pieces of the texts' characters, and the pieces that all
    these are merged from. The ids of a BPE vocabulary are in the order of its merges, the most
    frequent first. So these texts have the same pieces as before, and others are spelled in shorter
    pieces or bytes.

    Raises:
        BaseError: The vocabulary is not a BPE vocabulary with byte pieces.
    """
    value = json.loads(codec.tokenizer.to_str())
    model = value["model"]
    ids: dict[str, int] = codec.tokenizer.get_vocab()
    if model["type"] != "BPE" or not set(_BYTES) <= ids.keys():
        raise BaseError("only a BPE vocabulary with byte pieces can be cut: choose another base")
    ranks = {(left, right): rank for rank, (left, right) in enumerate(model["merges"])}
    pieces = {number: piece for piece, number in ids.items()}
    before, after = codec.special_ids()
    kept = {codec.end_id, codec.pad_id, codec.newline_id, *before, *after}
    kept |= {ids[piece] for piece in (*_BYTES, LINE_BREAK, model["unk_token"]) if piece in ids}
    characters = {_SPACE}
    for text in (*TEMPLATE.split("\n"), *texts):
        line = replace_breaks(text)
        characters.update(line)
        for part in (line, f" {line}", speaker_label(line)):
            kept.update(codec.tokenizer.encode(part, add_special_tokens=False).ids)
    merged = sorted({ids[left + right] for left, right in ranks})
    kept.update([number for number in merged if characters.issuperset(pieces[number])][:frequent])
    parts = {part for number in kept for part in _list_parts(pieces[number], ranks)}
    originals = sorted(kept | {ids[part] for part in parts if part in ids})
    new = {original: number for number, original in enumerate(originals)}
    model["vocab"] = {pieces[original]: number for original, number in new.items()}
    model["merges"] = [
        pair for pair in model["merges"] if {*pair, "".join(pair)} <= model["vocab"].keys()
    ]
    value["added_tokens"] = [
        {**token, "id": new[token["id"]]} for token in value["added_tokens"] if token["id"] in new
    ]
    for token in (value["post_processor"] or {}).get("special_tokens", {}).values():
        token["ids"] = [new[number] for number in token["ids"]]
    tokenizer = Tokenizer.from_str(json.dumps(value))
    return make_codec(tokenizer, new[codec.end_id], new[codec.pad_id]), originals


def _list_parts(piece: str, ranks: Mapping[tuple[str, str], int]) -> Iterator[str]:
    """Yield the characters of a piece, and the pieces that BPE merges them into, in its order."""
    parts = list(piece)
    yield from parts
    while pairs := [pair for pair in pairwise(parts) if pair in ranks]:
        best = min(pairs, key=ranks.__getitem__)
        at = next(n for n, pair in enumerate(pairwise(parts)) if pair == best)
        parts[at : at + 2] = ["".join(best)]
        yield parts[at]


def _fill_rows(rows: int, added: Iterable[Mapping[str, Any]], score: float) -> list[list[Any]]:
    """Return pieces for the rows between a vocabulary and its last added token.

    An added token keeps its row only if the vocabulary has it there. One that is not special
    becomes an ordinary piece, so that the spaces around it stay.
    """
    tokens = {token["id"]: token for token in added}
    filler: list[list[Any]] = []
    for row in range(rows, max(tokens, default=0) + 1):
        token = tokens.get(row, {"content": f"<unused_{row}>", "special": True})
        piece = token["content"].replace(" ", _SPACE)
        filler.append([piece, _UNUSED_SCORE if token["special"] else score])
    return filler
