"""Every kind of base is trained, converted, saved, loaded and spoken with; others are refused."""

import json

import pytest
import torch

from benchmarks.base_memory import SHAPES
from model.artifacts.artifact import Decoding
from model.errors import BaseError
from model.speaking.engine import GenerationRequest, open_engine
from pipeline.training import kinds
from pipeline.training.bases import load_encoder_decoder, open_base
from pipeline.training.convert import check_conversion, convert
from pipeline.training.device import Precision
from pipeline.training.encoding import encode
from pipeline.training.hyperparameters import Hyperparameters
from pipeline.training.kinds import check_config, max_tokens
from pipeline.training.scorer import log_probabilities, score_examples
from pipeline.training.trainer import train
from tests.checkpoints import KINDS, WORDS, save_decoder
from tests.training_rows import rows_of

FLOAT32 = Precision(bf16=False, reason="a test")
QUICK = {"t5", "t5 v1.1", "mt5", "llama", "qwen3", "gemma3_text"}
LLAMA_3 = {
    "rope_type": "llama3", "rope_theta": 500_000.0, "factor": 32.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
}  # fmt: skip


def encode_pairs(base):
    context = ("Hugo: what about friday?", "João: não sei 😂\nok")
    said = [("João", ("shall we go?", "hello")), ("Hugo", ("me too",)), ("João", ("😂 não",))]
    return [encode(base.codec, name, context, texts, (400, 64)) for name, texts in said]


def reload(base, folder):
    import transformers

    if base.family == "encoder-decoder":
        raw = json.loads((folder / "config.json").read_text("utf-8"))
        return load_encoder_decoder(str(folder), raw)
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="float32")


def own_log_probabilities(base, example):
    """Return the reply's log-probabilities by the model's own forward pass."""
    reply, target = example.reply, torch.tensor([[*example.forced, *example.reply]])
    with torch.no_grad():
        if base.family == "encoder-decoder":
            rows = base.weights(input_ids=torch.tensor([example.prompt]), labels=target).logits[0]
        else:
            ids = torch.cat([torch.tensor([example.prompt]), target], 1)
            rows = base.weights(ids).logits[0, :-1]
    values = rows[-len(reply) :].log_softmax(-1).gather(-1, torch.tensor(reply)[:, None])
    return values[:, 0].tolist()


@pytest.fixture(
    params=[kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.soak) for kind in KINDS]
)
def base(request, tmp_path):
    return open_base(str(KINDS[request.param](tmp_path / "base")), tmp_path, ["não sei 😂", "João"])


@pytest.mark.parametrize("lora", [False, True], ids=["all weights", "LoRA"])
def test_a_base_trains_converts_saves_loads_and_speaks(base, tmp_path, lora):
    examples = encode_pairs(base)
    before = sum(score.nats for score in score_examples(base, examples))
    names = [name for name, _ in base.weights.named_parameters()]
    settings = Hyperparameters(
        epochs=4, batch_size=3, learning_rate=3e-3, warmup=0, lora=lora, lora_rank=4
    )

    outcome = train(base, rows_of(base, examples), settings, tmp_path / "work", precision=FLOAT32)

    after = [score.nats for score in score_examples(base, examples)]
    assert outcome.steps == 4
    assert sum(after) > before
    assert [name for name, _ in base.weights.named_parameters()] == names
    for example, ours in zip(examples, log_probabilities(base, examples), strict=True):
        assert ours == pytest.approx(own_log_probabilities(base, example), abs=1e-4)
    assert convert(base, tmp_path / "engine", examples).exact < 1e-3
    base.weights.save_pretrained(tmp_path / "saved")
    again = reload(base, tmp_path / "saved")
    assert all(
        torch.equal(value, again.state_dict()[name])
        for name, value in base.weights.state_dict().items()
    )
    engine = open_engine(tmp_path / "engine", base.family, base.codec, device="cpu")
    decoding = Decoding(max_new_tokens=8, candidates=3)
    label = base.codec.label_ids(examples[0].voice)
    [spoken] = engine.candidates(
        [GenerationRequest(examples[0].prompt, examples[0].forced, label)], decoding
    )
    assert len(spoken) == 3
    assert all(len(candidate.ids) <= 8 for candidate in spoken)
    assert all(number < base.weights.config.vocab_size for c in spoken for number in c.ids)
    replies = [
        base.codec.reply_ids(examples[0].voice, (text,)).ids for text in ("não", "sei 😂 não")
    ]
    together = engine.scores(examples[0].prompt, label, replies)
    alone = [engine.scores(examples[0].prompt, label, [reply])[0] for reply in replies]
    assert len(replies[0]) < len(replies[1])
    for ours, theirs in zip(together, alone, strict=True):
        assert ours == pytest.approx(theirs, abs=0.05)


def test_conversion_does_not_change_the_weights(tmp_path):
    base = open_base(str(save_decoder(tmp_path / "base", "gemma3_text")), tmp_path, [])
    before = {name: value.clone() for name, value in base.weights.state_dict().items()}

    convert(base, tmp_path / "engine", encode_pairs(base))

    after = base.weights.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def raw_config(folder, kind, **settings):
    return json.loads((save_decoder(folder, kind, **settings) / "config.json").read_text("utf-8"))


def check(folder, kind, **settings):
    """Check the conversion of a small model whose weights are large enough to show a difference."""
    base = open_base(str(save_decoder(folder / "base", kind, **settings)), folder, [])
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in base.weights.parameters():
            mean, deviation = (0.0, 2 / tensor.shape[-1] ** 0.5) if tensor.ndim > 1 else (0.5, 0.3)
            tensor.normal_(mean, deviation, generator=generator)
    context = tuple(f"Hugo: {words}" for words in WORDS * 3)
    examples = [encode(base.codec, "João", context, ("shall we go?", "me too"), (400, 64))]
    check_conversion(base, examples, folder)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("llama", {"rope_parameters": LLAMA_3}),
        ("llama", {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4}}),
        ("qwen3", {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}),
        ("opt", {"word_embed_proj_dim": 32, "do_layer_norm_before": False}),
    ],
)
def test_settings_that_are_converted_exactly_are_accepted(tmp_path, kind, settings):
    check(tmp_path, kind, **settings)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("llama", {"rope_parameters": {**LLAMA_3, "rope_type": "yarn"}}),
        ("llama", {"hidden_act": "gelu"}),
        ("gemma", {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}),
        ("gemma3_text", {"final_logit_softcapping": 5.0}),
        ("gemma3_text", {"query_pre_attn_scalar": 64}),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}),
        ("falcon", {"alibi": True}),
    ],
)
def test_settings_that_are_converted_wrongly_are_refused(tmp_path, kind, settings):
    with pytest.raises(BaseError, match="does not support.*another base") as refused:
        check(tmp_path, kind, **settings)

    assert "\n" not in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["base"]


def test_without_its_scaled_frequencies_a_llama_3_would_be_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(kinds, "_complete_rope", lambda *_: None)

    with pytest.raises(BaseError, match="does not support"):
        check(tmp_path, "llama", rope_parameters=LLAMA_3)


@pytest.mark.soak
@pytest.mark.parametrize("name", SHAPES)
def test_bases_that_the_docs_recommend_are_accepted(name, tmp_path):
    shape = {**SHAPES[name], "vocab_size": 400, "num_hidden_layers": 6, "num_layers": 6}
    kind = shape.pop("model_type")
    if kind != "t5":
        check(tmp_path, kind, **shape)


def test_a_quantized_checkpoint_is_refused():
    with pytest.raises(BaseError, match="quantized.*original checkpoint"):
        check_config("base", {"model_type": "llama", "quantization_config": {}})


@pytest.mark.parametrize(
    ("kind", "settings", "limit"),
    [
        ("gemma3_text", {}, 480),
        ("gemma3_text", {"layer_types": ["full_attention"] * 2}, 512),
        ("mistral", {"sliding_window": None}, 512),
        ("mistral", {}, 480),
        ("qwen2", {}, 512),
        ("gpt2", {}, 512),
        ("bloom", {}, None),
    ],
)
def test_the_longest_text_ends_at_the_last_position_or_the_window(tmp_path, kind, settings, limit):
    import transformers

    config = transformers.AutoConfig.for_model(**raw_config(tmp_path, kind, **settings))

    assert max_tokens(config) == limit
