"""Starting weights: the two silent ways to ruin FLAN-T5, and bases that cannot be had."""

import json
import os
import subprocess
import sys

import pytest
import torch
import transformers
from safetensors.torch import load_file
from tokenizers import Tokenizer, processors

from model.chat.prompt import render_prompt
from model.errors import ArtifactError, BaseError
from pipeline.training import bases
from pipeline.training.bases import open_base
from pipeline.training.convert import convert
from pipeline.training.encoding import encode
from tests.checkpoints import save_decoder, save_t5

CHAT = ["não sei 😂", "João"]


@pytest.fixture
def untied(tmp_path):
    return save_t5(tmp_path / "flan")


def pairs(base):
    context = ("Hugo: what about friday?", "João: não sei 😂")
    said = [("João", ("shall we go?", "hello")), ("Hugo", ("me too",))]
    return [encode(base.codec, name, context, texts, (400, 64)) for name, texts in said]


def test_growing_the_vocabulary_keeps_flan_t5s_own_output_layer(untied, tmp_path):
    stock = load_file(untied / "model.safetensors")

    base = open_base(str(untied), tmp_path, CHAT)

    rows = len(stock["shared.weight"]) - 28  # the rest are spare, and nobody trained them
    assert base.weights.config.vocab_size > rows
    assert torch.equal(base.weights.lm_head.weight[:rows], stock["lm_head.weight"][:rows])
    assert torch.equal(base.weights.shared.weight[:rows], stock["shared.weight"][:rows])


def test_new_rows_begin_as_the_pieces_they_replace_in_either_layer(untied, tmp_path):
    stock = load_file(untied / "model.safetensors")
    known = Tokenizer.from_file(str(untied / "tokenizer.json"))

    base = open_base(str(untied), tmp_path, ["ﬁ"])

    row, byte = (base.codec.tokenizer.token_to_id(piece) for piece in ("ﬁ", "<0x66>"))
    meant = known.encode("ﬁ", add_special_tokens=False).ids  # "fi" to the stock normalizer
    for table in ("shared", "lm_head"):
        old, new = stock[f"{table}.weight"], base.weights.get_submodule(table).weight
        near = 0.2 * old.std()
        assert (new[row] - old[meant].mean(0)).abs().max() < near
        assert (new[byte] - old[meant[0]]).abs().max() < near
        assert not torch.equal(new[byte], old[meant[0]])


def test_pieces_that_mean_nothing_to_the_stock_vocabulary_begin_near_its_mean(untied, tmp_path):
    stock = load_file(untied / "model.safetensors")["shared.weight"]

    base = open_base(str(untied), tmp_path, ["😂"])

    rows = [base.codec.tokenizer.token_to_id(piece) for piece in ("😂", "\n")]
    new = base.weights.shared.weight[rows]
    assert (new - stock[:-28].mean(0)).abs().max() < 0.2 * stock.std()
    assert not torch.equal(new[0], new[1])


def test_a_grown_model_survives_saving_and_loading(untied, tmp_path):
    base = open_base(str(untied), tmp_path, CHAT)
    inputs = {"input_ids": torch.tensor([[5, 6, 7, 1]]), "labels": torch.tensor([[8, 9, 1]])}
    before = base.weights(**inputs).logits

    base.weights.save_pretrained(tmp_path / "again")
    raw = json.loads((tmp_path / "again" / "config.json").read_text("utf-8"))
    again = bases.load_encoder_decoder(str(tmp_path / "again"), raw)

    assert torch.allclose(again(**inputs).logits, before, atol=1e-5)


def test_converted_flan_t5_gives_the_originals_log_probabilities(untied, tmp_path):
    base = open_base(str(untied), tmp_path, CHAT)

    drift = convert(base, tmp_path / "engine", pairs(base))

    assert drift.exact < 1e-3


def test_a_conversion_that_scales_an_untied_output_is_refused(untied, tmp_path):
    base = open_base(str(untied), tmp_path, CHAT)
    base.weights.config.tie_word_embeddings = True  # as transformers 5 would have it

    with pytest.raises(ArtifactError, match="nats a token in float32"):
        convert(base, tmp_path / "engine", pairs(base))

    assert not (tmp_path / "engine").exists()


def test_a_hub_out_of_reach_names_the_base_that_needs_none(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")

    with pytest.raises(BaseError, match="hub cannot be reached.*--base smollm2"):
        open_base("google/flan-t5-small", tmp_path, [])


def test_a_kind_that_cannot_be_trained_is_refused_with_those_that_can(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}', "utf-8")

    with pytest.raises(BaseError) as refused:
        open_base(str(tmp_path), tmp_path, [])

    said = str(refused.value)
    assert "\n" not in said
    assert all(kind in said for kind in ("'bert'", "FLAN-T5", "mT5", "Llama", "Qwen3", "Gemma 3"))


def test_an_unsupported_kind_is_refused_before_its_weights_are_loaded(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text('{"model_type": "gemma2"}', "utf-8")
    loaded = "transformers.AutoTokenizer.from_pretrained"
    monkeypatch.setattr(loaded, lambda *_, **__: pytest.fail("loaded more than the config"))

    with pytest.raises(BaseError, match="'gemma2'"):
        open_base(str(tmp_path), tmp_path, [])


def save_with_tokenizer(folder, kind, tokenizer_class):
    """Save a small checkpoint whose tokenizer has the class that real checkpoints name."""
    save_decoder(folder, kind)
    value = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    merges = [tuple(merge) for merge in value["model"]["merges"]]
    special = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    made = tokenizer_class(vocab=value["model"]["vocab"], merges=merges, **special)
    made.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("kind", "tokenizer_class", "begin"),
    [
        ("mistral", transformers.LlamaTokenizer, []),  # adds a space before each text
        ("gemma3_text", transformers.GemmaTokenizer, [1]),
        ("qwen3", transformers.Qwen2Tokenizer, []),  # composes characters
        ("gpt2", transformers.GPT2Tokenizer, []),
    ],
)
def test_text_and_labels_have_the_same_ids_in_a_context_and_alone(
    tmp_path, kind, tokenizer_class, begin
):
    folder = save_with_tokenizer(tmp_path / "base", kind, tokenizer_class)

    codec = open_base(str(folder), tmp_path, []).codec

    assert codec.prompt_ids([], 400)[: len(begin)] == begin
    decomposed = "Jo\u00e3o: na\u0303o  sei?\r:)\nHugo: me 😂\n"
    prompt = codec.prompt_ids([decomposed.strip()], 400)
    assert codec.tokenizer.decode(prompt) == render_prompt([decomposed.strip()])
    whole = codec.tokenizer.encode("hello\nHugo: me", add_special_tokens=False).ids
    assert whole[: -len(codec.tokenizer.encode(" me", add_special_tokens=False).ids)] == [
        *codec.tokenizer.encode("hello\n", add_special_tokens=False).ids,
        *codec.label_ids("Hugo"),
    ]


@pytest.mark.parametrize("kind", ["llama", "mistral", "gemma3_text"])
def test_a_typed_space_mark_stays(tmp_path, kind):
    codec = open_base(str(save_decoder(tmp_path / "base", kind)), tmp_path, []).codec

    assert codec.text(codec.line_ids("Hugo: a▁b ▁")) == "Hugo: a▁b ▁"


def test_an_end_token_after_a_prompt_and_added_tokens_without_a_row_are_removed(tmp_path):
    folder = save_decoder(tmp_path / "base", "llama")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|im_start|> $A <|im_end|>", special_tokens=[("<|im_start|>", 1), ("<|im_end|>", 2)]
    )
    tokenizer.add_tokens([f"<image {n}>" for n in range(20)])
    tokenizer.save(str(folder / "tokenizer.json"))

    base = open_base(str(folder), tmp_path, [])

    prompt = base.codec.prompt_ids(["Hugo: <image 19>"], 400)
    assert prompt[0] == 1
    assert prompt.count(2) == 0
    assert max(prompt) < base.weights.config.vocab_size


def test_a_tokenizer_that_loses_text_is_refused(tmp_path):
    folder = save_decoder(tmp_path / "base", "llama")
    value = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    value["model"].update(byte_fallback=False, unk_token="<|endoftext|>")
    value["pre_tokenizer"] = value["decoder"] = None
    (folder / "tokenizer.json").write_text(json.dumps(value), "utf-8")

    with pytest.raises(BaseError, match="loses text"):
        open_base(str(folder), tmp_path, [])


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(BaseError, match="--base accepts a hub id"):
        open_base(str(tmp_path), tmp_path, [])


def test_the_hub_is_asked_for_before_anything_else_has_imported_its_library():
    program = (
        "import pipeline.training.bases as bases; bases.urllib.request.getproxies = dict; "
        "print(bases.is_hub_reachable(1))"
    )
    offline = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9"}

    done = subprocess.run(
        [sys.executable, "-c", program], env=offline, capture_output=True, text=True, check=True
    )

    assert done.stdout == "False\n"
