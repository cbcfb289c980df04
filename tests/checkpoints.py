"""Small models of both families, made here: nothing is downloaded."""

import json
from collections.abc import Iterable
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
    "Hugo: Tiago: Raul: Leonardo: Andre: Ana: woof woof meow meow tweet tweet",
]


def t5_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """Train a unigram tokenizer of T5's make: it loses newlines and runs of spaces."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    special = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=special, unk_token="<unk>")
    tokenizer.train_from_iterator([*texts, *WORDS] * 20, trainer)
    tokenizer.add_special_tokens([AddedToken(f"<extra_id_{n}>", special=True) for n in range(10)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return tokenizer


def save_t5(folder: Path, *, tied: bool = False, texts: Iterable[str] = ()) -> Path:
    """Save a T5 as the hub has them: FLAN-T5's output layer is another than its embedding."""
    tokenizer = t5_tokenizer(texts)
    rows = tokenizer.get_vocab_size() + 28  # FLAN-T5's 32,128 rows are 28 more than its pieces
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=rows, d_model=64, d_kv=16, d_ff=128, num_layers=2, num_heads=4,
        feed_forward_proj="gated-gelu", dropout_rate=0.0, decoder_start_token_id=0,
        pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    transformers.T5ForConditionalGeneration(config).save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    if not tied:
        weights["lm_head.weight"] = torch.randn(rows, 64) * 0.3
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


def save_llama(folder: Path, texts: Iterable[str] = ()) -> Path:
    """Save a decoder-only model of Llama's make with a byte-level tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator([*texts, *WORDS] * 20, trainer)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=64, intermediate_size=128,
        num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=512, bos_token_id=1, eos_token_id=2, tie_word_embeddings=True,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        unk_token="<|endoftext|>",
    ).save_pretrained(folder)
    return folder
