"""T5's vocabulary without losses, and the length of prompts."""

import json
import os
import shutil
from pathlib import Path

import pytest
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer

from model.artifacts.tokenizer import extend_unigram, load_codec, make_codec
from model.chat.prompt import (
    TEMPLATE,
    format_line,
    parse_reply,
    render_prompt,
    render_reply,
    replace_breaks,
    speaker_label,
)
from model.errors import ArtifactError, BaseError
from tests.checkpoints import save_llama, t5_tokenizer

CHAT = ["não estou", "oi 😂😂", "João: …", "a  b", "x\ny", "x\ry", "{~}"]
PLAIN = st.sampled_from(["hello", "there", "how", "are", "you", "today", "friday", "cinema"])
ODD = [
    "▁", "▁▁", "\ufffd", "<0x41>", "<0x0A>", "<0xFF>", "</s>", "<pad>", "<unk>", "<extra_id_0>",
    "<unused_3>", "\0", "\x1f", "\r\n", "\u2028", "  ", " ", "\n", "\U000f0000", "\U0010ffff",
    "e\u0301", "ﬁ", "½", "👨‍👩‍👧", "ha",
]  # fmt: skip
CHARACTERS = st.characters(exclude_categories=["Cs"])
TEXTS = st.lists(st.one_of(st.sampled_from(ODD), CHARACTERS)).map("".join)
REAL = "UNDERSTUDY_T5_SPIECE"


def like_t5():
    """Return a tokenizer like T5's: tokens after the vocabulary, no bytes in it."""
    return t5_tokenizer([])


def like_mt5():
    """Return a tokenizer like mT5's in transformers: 256 unused byte pieces with score 0."""
    value = json.loads(t5_tokenizer([]).to_str())
    pieces = value["model"]["vocab"]
    pieces[3:3] = [[f"<0x{byte:02X}>", 0.0] for byte in range(256)]
    value["added_tokens"] = [t for t in value["added_tokens"] if t["id"] < 3]
    return Tokenizer.from_str(json.dumps(value))


def with_tokens_of_its_own():
    """Return a tokenizer after `add_tokens`, which loses the spaces around such tokens."""
    tokenizer = t5_tokenizer([])
    tokenizer.add_tokens([AddedToken(t, normalized=False) for t in ("\n", "{", "}", "my own")])
    return tokenizer


def real_t5(folder):
    """Return T5's own tokenizer, loaded as in training."""
    if REAL not in os.environ:
        pytest.skip(f"{REAL} names no spiece.model of T5's")
    shutil.copy(Path(os.environ[REAL]), folder / "spiece.model")
    (folder / "config.json").write_text('{"model_type": "t5"}')
    return transformers.AutoTokenizer.from_pretrained(folder).backend_tokenizer


SHAPES = {
    "T5's shape": like_t5,
    "mT5's shape": like_mt5,
    "tokens of its own": with_tokens_of_its_own,
    "the real T5": real_t5,
}


@pytest.fixture(scope="module", params=SHAPES)
def stock(request, tmp_path_factory):
    """Return a base's original tokenizer."""
    folder = [tmp_path_factory.mktemp("t5")] if request.param == "the real T5" else []
    return SHAPES[request.param](*folder)


@pytest.fixture(scope="module")
def codec(stock):
    return make_codec(extend_unigram(stock, CHAT), end_id=1, pad_id=0)


def round_trip(codec, text):
    reply = codec.reply_ids("Hugo", [text])
    assert reply.forced == codec.label_ids("Hugo")
    assert all(reply.is_word)
    return codec.reply_text("Hugo", reply.ids).removeprefix(" ")


@pytest.mark.parametrize("text", CHAT)
def test_text_that_the_original_tokenizer_loses_is_decoded_unchanged(codec, stock, text):
    assert stock.decode(stock.encode(text).ids) != text

    assert round_trip(codec, text) == replace_breaks(text)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(text=TEXTS)
def test_any_text_is_decoded_unchanged(codec, text):
    assert round_trip(codec, text) == replace_breaks(text)


@pytest.mark.parametrize("text", [*ODD, "a▁b", "▁ ▁", "hi<0x0A>Hugo: x", "\U000f0000▁"])
def test_typed_text_that_looks_like_a_piece_stays_text(codec, text):
    assert round_trip(codec, text) == replace_breaks(text)


@pytest.mark.parametrize("text", ["a", " a", "   a  ", " ", "\n", "<0x20>"])
def test_spaces_at_both_ends_of_a_text_stay(codec, text):
    assert codec.tokenizer.decode(codec.tokenizer.encode(text).ids) == text


@given(words=st.lists(PLAIN, min_size=1))
def test_text_that_the_original_tokenizer_keeps_has_the_same_ids(codec, stock, words):
    text = " ".join(words)

    assert codec.tokenizer.encode(text).ids == stock.encode(text).ids


def test_pieces_keep_their_ids_and_every_row_has_one(codec, stock):
    ids = codec.tokenizer.get_vocab()

    stock_ids = {piece.replace(" ", "▁"): number for piece, number in stock.get_vocab().items()}
    assert stock_ids.items() <= ids.items()
    assert sorted(ids.values()) == list(range(codec.tokenizer.get_vocab_size()))


def test_a_typed_space_mark_is_spelled_in_its_bytes(codec):
    reply = codec.reply_ids("Hugo", ["▁"])

    assert codec.tokens(reply.ids) == ["▁", "<0xE2>", "<0x96>", "<0x81>"]


def test_another_kind_of_vocabulary_is_left_unchanged(tmp_path):
    save_llama(tmp_path)
    stock = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    codec = make_codec(Tokenizer.from_str(stock.to_str()), end_id=2, pad_id=2)

    reply = codec.reply_ids("Hugo", ["a▁b"])

    assert reply.forced + reply.ids == stock.encode("Hugo: a▁b").ids
    assert codec.reply_text("Hugo", reply.ids) == " a▁b"


def test_special_tokens_that_somebody_types_are_text(codec):
    ids = codec.prompt_ids(["Hugo: </s> <pad> <extra_id_0>"], 400)

    assert ids.count(codec.end_id) == 1
    assert ids[-1] == codec.end_id
    assert codec.pad_id not in ids


@pytest.mark.parametrize("name", ["João", "李雷", "Hugo Silva", "Zé 💃", "a▁b", "<0x41>"])
def test_a_name_in_any_script_can_be_forced(codec, name):
    reply = codec.reply_ids(name, ["olá", "<0x41>▁"])

    assert codec.text(reply.forced) == speaker_label(name)
    assert codec.text(reply.forced + reply.ids) == f"{name}: olá\n{name}: <0x41>▁"
    assert codec.reply_text(name, reply.ids) == f" olá\n{name}: <0x41>▁"


@pytest.mark.parametrize("name", ["João", "李雷", "a▁b"])
@pytest.mark.parametrize("text", ["hi", ")", ":", " two  spaces", "▁", "…"])
def test_a_line_has_the_same_ids_in_a_reply_and_in_a_context(codec, name, text):
    reply = codec.reply_ids(name, [text, text])

    line = codec.line_ids(f"{name}: {text}")
    assert reply.forced + reply.ids == [*line, codec.newline_id, *line]
    assert (
        codec.prompt_ids([f"{name}: {text}"], 400)[: -len(line) - 2 or None]
        == (codec.prompt_ids([], 400)[:-1])
    )


def test_newlines_and_further_labels_are_no_words(codec):
    reply = codec.reply_ids("Hugo", ["hi", "you"])

    words = [number for number, is_word in zip(reply.ids, reply.is_word, strict=True) if is_word]
    assert codec.text(words) == "hi you"


LABELS = ["hi\nHugo: x", "João: me", "李雷:", "\n\nHugo: y", "a<0x0A>Hugo: x", "…\u2028Hugo: z"]
SPOKEN = st.one_of(st.sampled_from(LABELS), TEXTS.filter(lambda text: "\r" not in text))


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(texts=st.lists(SPOKEN.map(str.strip).filter(bool), min_size=1, max_size=4))
def test_no_name_in_a_message_begins_another_speaker_s_line(codec, texts):
    context = [format_line("João", text) for text in texts]

    reply = codec.reply_ids("João", texts)
    prompt = codec.text(codec.prompt_ids(context, 100_000))

    assert codec.reply_text("João", reply.ids) == render_reply("João", texts)
    assert parse_reply("João", codec.reply_text("João", reply.ids)) == tuple(texts)
    lines = prompt.removeprefix(TEMPLATE).removesuffix("\n").split("\n")
    assert lines == context


def test_a_prompt_that_is_too_long_loses_its_oldest_lines(codec):
    lines = [f"Hugo: number {n}" for n in range(50)]

    text = codec.text(codec.prompt_ids(lines, 200))

    assert text.startswith(TEMPLATE)
    assert text.endswith("Hugo: number 49\n")
    assert "number 0\n" not in text
    assert len(codec.prompt_ids(lines, 200)) <= 200


def test_one_line_that_is_too_long_keeps_its_name_and_its_end(codec):
    ids = codec.prompt_ids(["Hugo: " + "friday " * 400 + "cinema"], 120)

    kept = codec.text(ids).removeprefix(TEMPLATE)
    assert len(ids) <= 120
    assert kept.startswith("Hugo: ")
    assert kept.endswith("cinema\n")


def test_a_short_prompt_is_not_cut(codec):
    lines = ["Hugo: hi 😂", "João: não\rsei"]

    assert codec.text(codec.prompt_ids(lines, 400)) == render_prompt(lines)


def test_a_saved_codec_reads_back_equal(codec, tmp_path):
    codec.save(tmp_path / "tokenizer.json")

    again = load_codec(tmp_path / "tokenizer.json")

    assert again.prompt_ids(CHAT, 400) == codec.prompt_ids(CHAT, 400)
    assert (again.end_id, again.pad_id) == (codec.end_id, codec.pad_id)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"understudy": {}}', '{"understudy": {"end_id": 1, "pad_id": 0}}']
)
def test_a_damaged_tokenizer_is_refused_in_one_line(tmp_path, text):
    (tmp_path / "tokenizer.json").write_text(text)

    with pytest.raises(ArtifactError, match="damaged.*train again") as caught:
        load_codec(tmp_path / "tokenizer.json")

    assert "\n" not in str(caught.value)


def test_extending_another_kind_of_vocabulary_is_refused(tmp_path):
    save_llama(tmp_path)

    with pytest.raises(BaseError, match="BPE"):
        extend_unigram(Tokenizer.from_file(str(tmp_path / "tokenizer.json")), [])
