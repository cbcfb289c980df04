"""Small models of both families, made here: nothing is downloaded."""

import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

WORDS = [
    "Continue writing the following text.",
    "what about friday? shall we go to the cinema, or not? I do not know yet.",
    "hello there, how are you today? fine, thanks! and you? me too, see you later",
    "Hugo: Tiago: Raul: Leonardo: Andre: Ana: bark bark meow meow tweet tweet",
]


TINY = {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4}


def t5_tokenizer(texts: Iterable[str], pieces: int = 300) -> Tokenizer:
    """Train a unigram tokenizer of T5's make: it loses newlines and runs of spaces."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    special = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=pieces, special_tokens=special, unk_token="<unk>")
    tokenizer.train_from_iterator([*texts, *WORDS] * 20, trainer)
    tokenizer.model = models.Unigram(_sorted_pieces(tokenizer), special.index("<unk>"))
    tokenizer.add_special_tokens([AddedToken(f"<extra_id_{n}>", special=True) for n in range(10)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return tokenizer


def _sorted_pieces(tokenizer: Tokenizer) -> list[tuple[str, float]]:
    """Return the pieces in an order that is the same after each training.

    The trainer orders pieces with equal scores randomly, and the last digits vary between runs.
    """
    vocabulary = json.loads(tokenizer.to_str())["model"]["vocab"]
    pieces = [(piece, round(score, 9)) for piece, score in vocabulary]
    return pieces[:3] + sorted(pieces[3:], key=lambda piece: (-piece[1], piece[0]))


def save_t5(
    folder: Path,
    *,
    tied: bool = False,
    texts: Iterable[str] = (),
    kind: str = "t5",
    shape: Mapping[str, int] = TINY,
    pieces: int = 300,
    rows: int = 0,
) -> Path:
    """Save a T5 as the hub has them: FLAN-T5's output layer is another than its embedding.

    The first T5 ties them and has no gates; mT5 is a T5 v1.1 of another name. There are 28 more
    rows than pieces, as in FLAN-T5, or `rows`.
    """
    tokenizer = t5_tokenizer(texts, pieces)
    rows = rows or tokenizer.get_vocab_size() + 28
    torch.manual_seed(0)
    config = _T5S[kind][0](
        vocab_size=rows, **shape,
        feed_forward_proj="relu" if tied else "gated-gelu", dropout_rate=0.0,
        decoder_start_token_id=0, pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    _T5S[kind][1](config).save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    if not tied:
        weights["lm_head.weight"] = torch.randn(rows, config.d_model) * 0.3
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    written = json.loads((folder / "config.json").read_text("utf-8"))
    written = {**written, "tie_word_embeddings": tied}
    written.pop("scale_decoder_outputs", None)
    (folder / "config.json").write_text(json.dumps(written), "utf-8")
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
    ).save_pretrained(folder)
    return folder


def byte_level_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """Train a tokenizer such as Llama 3, Qwen2 and SmolLM2 have."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator([*texts, *WORDS] * 20, trainer)
    return tokenizer


def sentencepiece_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """Train a tokenizer such as Gemma and Mistral have: `▁`, byte pieces, a beginning token."""
    tokenizer = Tokenizer(models.BPE(unk_token="<|endoftext|>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")  # only while training
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    byte_pieces = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=[*special, *byte_pieces], max_token_length=12
    )
    tokenizer.train_from_iterator([*texts, *WORDS, "\n"] * 20, trainer)
    value = json.loads(tokenizer.to_str())
    value["added_tokens"] = [token for token in value["added_tokens"] if token["id"] < len(special)]
    value["pre_tokenizer"] = None
    tokenizer = Tokenizer.from_str(json.dumps(value))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", 1)]
    )
    return tokenizer


def save_decoder(folder: Path, kind: str, texts: Iterable[str] = (), **settings: object) -> Path:
    """Save a small decoder-only model of a `model_type`, with the settings of real checkpoints."""
    make_tokenizer, own = _DECODERS[kind]
    tokenizer = make_tokenizer(texts)
    rows = tokenizer.get_vocab_size()
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(
        kind,
        **{
            "vocab_size": rows + -rows % 8, "hidden_size": 64, "num_hidden_layers": 2,
            "num_attention_heads": 4, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
            **own, **settings,
        },
    )  # fmt: skip
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        unk_token="<|endoftext|>",
    ).save_pretrained(folder)
    return folder


def save_llama(folder: Path, texts: Iterable[str] = ()) -> Path:
    """Save a decoder-only model of Llama's make with a byte-level tokenizer."""
    return save_decoder(folder, "llama", texts)


_T5S = {
    "t5": (transformers.T5Config, transformers.T5ForConditionalGeneration),
    "mt5": (transformers.MT5Config, transformers.MT5ForConditionalGeneration),
}
_GLU = {"intermediate_size": 128, "num_key_value_heads": 2, "max_position_embeddings": 512}
_GEMMA = {**_GLU, "head_dim": 32}  # not hidden_size / num_attention_heads
_GPT = {"n_positions": 512}
_DECODERS: Mapping[str, tuple[Callable[[Iterable[str]], Tokenizer], Mapping[str, object]]] = {
    "llama": (byte_level_tokenizer, {**_GLU, "tie_word_embeddings": True}),
    "mistral": (sentencepiece_tokenizer, {**_GLU, "sliding_window": 480}),
    "qwen2": (byte_level_tokenizer, {**_GLU, "tie_word_embeddings": True}),
    "qwen3": (byte_level_tokenizer, {**_GLU, "head_dim": 32, "tie_word_embeddings": True}),
    "gemma": (sentencepiece_tokenizer, _GEMMA),
    "gemma3_text": (
        sentencepiece_tokenizer,
        {
            **_GEMMA, "num_key_value_heads": 1,  # as in Gemma 3 270M
            "query_pre_attn_scalar": 32, "sliding_window": 480,
            "layer_types": ["sliding_attention", "full_attention"],
        },
    ),
    "falcon": (byte_level_tokenizer, {"new_decoder_architecture": False}),
    "opt": (
        byte_level_tokenizer,
        {"ffn_dim": 128, "word_embed_proj_dim": 64, "max_position_embeddings": 512},
    ),
    "bloom": (byte_level_tokenizer, {}),
    "gpt2": (byte_level_tokenizer, _GPT),
    "gptj": (byte_level_tokenizer, {**_GPT, "rotary_dim": 8}),
    "gpt_bigcode": (byte_level_tokenizer, _GPT),
    "codegen": (byte_level_tokenizer, {**_GPT, "rotary_dim": 8}),
}  # fmt: skip

KINDS: Mapping[str, Callable[[Path], Path]] = {
    "t5": lambda folder: save_t5(folder, tied=True),
    "t5 v1.1": save_t5,
    "mt5": lambda folder: save_t5(folder, kind="mt5"),
    **{kind: partial(save_decoder, kind=kind) for kind in _DECODERS},
}
"""Saves a small checkpoint of each kind that can be trained."""
