"""Extend a tokenizer so that it loses no text of the chat."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models

from model.chat.prompt import LINE_BREAK, render_prompt, speaker_label
from model.errors import ArtifactError, BaseError, describe_error

_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
_SPACE = "▁"
_NEVER = -1e4  # the score of a piece that spelling out its characters always beats
_CARRIERS = range(0xF0000, 0xFFFFE)  # private characters, which no vocabulary has


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
"""How a unigram tokenizer cuts and joins so that nothing is lost.

One space goes before a text, as SentencePiece does; bytes are joined after pieces, so that a `▁`
made of bytes stays one.
"""


@dataclass(frozen=True, slots=True)
class Codec:
    """A tokenizer and the ids of its end and padding tokens."""

    tokenizer: Tokenizer
    end_id: int
    pad_id: int

    def prompt_ids(self, context: Sequence[str], limit: int) -> list[int]:
        """Return a prompt's ids, with the special tokens that the base expects around it.

        Where they are more than `limit` the oldest lines go; of a newest line that is still too
        long, the beginning of its text.
        """
        lines = list(context)
        ids = self._with_specials(render_prompt(lines))
        while len(ids) > limit and lines:
            if len(lines) > 1:
                del lines[0]
            else:
                name, colon, text = lines[0].partition(": ")
                shorter = text[len(text) // 8 + 1 :]
                lines = [f"{name}{colon}{shorter}"] if shorter else []
            ids = self._with_specials(render_prompt(lines))
        return ids

    def reply_ids(self, name: str, reply: str) -> tuple[list[int], list[int]]:
        """Return the ids that force a voice and those of the reply that follows, without an end."""
        forced = self._plain(speaker_label(name))
        whole = self._plain(speaker_label(name) + reply)
        if whole[: len(forced)] == forced:
            return forced, whole[len(forced) :]
        return forced, self._plain(reply)

    def label_ids(self, name: str) -> list[int]:
        """Return the ids that force a voice."""
        return self._plain(speaker_label(name))

    def reply_text(self, name: str, ids: Sequence[int]) -> str:
        """Return the text of a reply's ids, what `reply_ids` was given."""
        forced = self.label_ids(name)
        whole = self.tokenizer.decode([*forced, *ids], skip_special_tokens=True)
        return whole[len(speaker_label(name)) :]

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """Return the pieces of ids, as CTranslate2 takes them."""
        return [self.tokenizer.id_to_token(number) or "" for number in ids]

    def ids(self, tokens: Iterable[str]) -> list[int]:
        """Return the ids of pieces, leaving out those that only pad the weights' rows."""
        numbers = (self.tokenizer.token_to_id(token) for token in tokens)
        return [number for number in numbers if number is not None]

    def save(self, path: Path) -> None:
        """Write the tokenizer, with its end and padding tokens, as one file."""
        value = json.loads(self.tokenizer.to_str())
        value["understudy"] = {"end_id": self.end_id, "pad_id": self.pad_id}
        path.write_text(json.dumps(value, ensure_ascii=False), "utf-8")

    def _plain(self, text: str) -> list[int]:
        return self._encode(text, specials=False)

    def _with_specials(self, text: str) -> list[int]:
        return self._encode(text, specials=True)

    def _encode(self, text: str, *, specials: bool) -> list[int]:
        """Return a text's ids.

        A unigram vocabulary writes `▁` for a space. One that somebody typed goes in under the name
        of a character that is spelled in bytes, and has those of its own put in their place.
        """
        if _SPACE not in text or not isinstance(self.tokenizer.model, models.Unigram):
            ids: list[int] = self.tokenizer.encode(text, add_special_tokens=specials).ids
            return ids
        carrier = next(c for c in map(chr, _CARRIERS) if c not in text and self._is_spelled(c))
        carried = self._encode(text.replace(_SPACE, carrier), specials=specials)
        return _replaced(carried, self._byte_ids(carrier), self._byte_ids(_SPACE))

    def _is_spelled(self, character: str) -> bool:
        return self.tokenizer.token_to_id(character) is None

    def _byte_ids(self, character: str) -> list[int]:
        return self.ids(_BYTES[byte] for byte in character.encode())


def make_codec(tokenizer: Tokenizer, end_id: int, pad_id: int) -> Codec:
    """Return a codec in which nobody can type a special token: `</s>` in a chat is text."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    return Codec(tokenizer, end_id, pad_id)


def load_codec(path: Path) -> Codec:
    """Read what `Codec.save` wrote.

    Raises:
        ArtifactError: The file is missing or damaged.
    """
    try:
        value = json.loads(path.read_text("utf-8"))
        ours = value.pop("understudy")
        end_id, pad_id = int(ours["end_id"]), int(ours["pad_id"])
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} is damaged ({describe_error(error)}): train again") from error
    try:
        tokenizer = Tokenizer.from_str(json.dumps(value))
    except Exception as error:  # tokenizers raises nothing narrower
        raise ArtifactError(f"{path} is damaged ({describe_error(error)}): train again") from error
    return make_codec(tokenizer, end_id, pad_id)


def extend_unigram(tokenizer: Tokenizer, texts: Iterable[str]) -> Tokenizer:
    """Return T5's tokenizer with all that it would lose in such texts added to its vocabulary.

    New pieces (newlines, the texts' characters, 256 bytes for whatever is left) stand behind the
    old ones, whose ids and scores stay, so that a text which the old one keeps whole has the same
    ids. Its normalizer, which loses characters and runs of spaces, goes. What reads like a special
    token or a byte (`</s>`, `<0x41>`) is text, and spelled out.

    Raises:
        BaseError: The vocabulary is no unigram one.
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
    filler = _filler(len(vocabulary), value["added_tokens"], score)
    known = {piece for piece, _ in [*vocabulary, *filler]} | special
    seen = Counter(
        c for text in [*texts, *special, *_BYTES] for c in text if c not in (" ", _SPACE)
    )
    spelled = [c for piece, _ in filler for c in piece]
    lost = [*sorted(seen, key=lambda c: (-seen[c], c)), *spelled]
    wanted = dict.fromkeys([_SPACE, "\n", LINE_BREAK, *lost, *_BYTES])
    vocabulary += [*filler, *([piece, score] for piece in wanted if piece not in known)]
    for entry in vocabulary:  # SentencePiece takes no control or byte piece from text; this would
        if entry[0] in special or entry[0] in _BYTES:
            entry[1] = _NEVER
    value["added_tokens"] = [token for token in value["added_tokens"] if token["special"]]
    value["model"]["byte_fallback"] = True
    return Tokenizer.from_str(json.dumps({**value, **_LOSSLESS}))


def _filler(rows: int, added: Iterable[Mapping[str, Any]], score: float) -> list[list[Any]]:
    """Return pieces for the rows between a vocabulary and its last added token.

    An added token keeps its row only where the vocabulary has it there. One that is not special is
    a piece like others, so that the spaces around it stay.
    """
    tokens = {token["id"]: token for token in added}
    filler: list[list[Any]] = []
    for row in range(rows, max(tokens, default=0) + 1):
        token = tokens.get(row, {"content": f"<unused_{row}>", "special": True})
        piece = token["content"].replace(" ", _SPACE)
        filler.append([piece, _NEVER if token["special"] else score])
    return filler


def _replaced(ids: Iterable[int], old: list[int], new: list[int]) -> list[int]:
    """Return ids with one run of them in place of another, wherever it stands."""
    result: list[int] = []
    for number in ids:
        result.append(number)
        if result[-len(old) :] == old:
            result[-len(old) :] = new
    return result
