"""T5's vocabulary made lossless, and prompts that fit."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from model.errors import BaseError
from model.prompt import TEMPLATE, render_prompt
from model.tokenizer import codec_of, extend_unigram, load_codec
from tests.checkpoints import save_llama, t5_tokenizer

STOCK = t5_tokenizer([])
CHAT = ["não estou", "oi 😂😂", "João: …", "a  b", "x\ny", "x\ry", "{~}"]
PLAIN = st.sampled_from(["hello", "there", "how", "are", "you", "today", "friday", "cinema"])
MESSAGES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="▁"), min_size=1)


@pytest.fixture(scope="module")
def codec():
    return codec_of(extend_unigram(STOCK, CHAT), end_id=1, pad_id=0)


def round_trip(codec, text):
    forced, reply = codec.reply_ids("Hugo", f" {text}")
    assert forced == codec.label_ids("Hugo")
    return codec.reply_text("Hugo", reply).strip()


@pytest.mark.parametrize("text", CHAT)
def test_what_the_stock_tokenizer_loses_comes_back_equal(codec, text):
    assert STOCK.decode(STOCK.encode(text).ids) != text

    assert round_trip(codec, text) == text


@settings(max_examples=300)
@given(text=MESSAGES.map(str.strip).filter(bool))
def test_any_text_comes_back_equal(codec, text):
    assert round_trip(codec, text) == text


@given(words=st.lists(PLAIN, min_size=1))
def test_text_that_the_stock_tokenizer_keeps_whole_has_its_ids(codec, words):
    text = " ".join(words)

    assert codec.tokenizer.encode(text).ids == STOCK.encode(text).ids


@pytest.mark.parametrize("text", ["hi<0x0A>Hugo: x", "<0xFF>", "<0x41>"])
def test_a_byte_piece_that_somebody_types_is_text(codec, text):
    assert round_trip(codec, text) == text


def test_special_tokens_that_somebody_types_are_text(codec):
    ids = codec.prompt_ids(["Hugo: </s> <pad> <extra_id_0>"], 400)

    assert ids.count(codec.end_id) == 1
    assert ids[-1] == codec.end_id
    assert codec.pad_id not in ids


@pytest.mark.parametrize("name", ["João", "李雷", "Hugo Silva"])
def test_a_name_of_any_script_is_a_label(codec, name):
    assert codec.tokenizer.decode(codec.label_ids(name)) == f"{name}:"


def test_a_prompt_that_is_too_long_loses_its_oldest_lines(codec):
    lines = [f"Hugo: number {n}" for n in range(50)]

    text = codec.tokenizer.decode(codec.prompt_ids(lines, 200))

    assert text.startswith(TEMPLATE)
    assert text.endswith("Hugo: number 49\n")
    assert "number 0\n" not in text
    assert len(codec.prompt_ids(lines, 200)) <= 200


def test_one_line_that_is_too_long_keeps_its_name_and_its_end(codec):
    ids = codec.prompt_ids(["Hugo: " + "friday " * 400 + "cinema"], 120)

    kept = codec.tokenizer.decode(ids).removeprefix(TEMPLATE)
    assert len(ids) <= 120
    assert kept.startswith("Hugo: ")
    assert kept.endswith("cinema\n")


def test_a_short_prompt_is_the_whole_text(codec):
    lines = ["Hugo: hi 😂", "João: não\rsei"]

    assert codec.tokenizer.decode(codec.prompt_ids(lines, 400)) == render_prompt(lines)


def test_a_saved_codec_reads_back_equal(codec, tmp_path):
    codec.save(tmp_path / "tokenizer.json")

    again = load_codec(tmp_path / "tokenizer.json")

    assert again.prompt_ids(CHAT, 400) == codec.prompt_ids(CHAT, 400)
    assert (again.end_id, again.pad_id) == (codec.end_id, codec.pad_id)


def test_another_kind_of_vocabulary_is_refused_by_name(tmp_path):
    save_llama(tmp_path)

    with pytest.raises(BaseError, match="BPE"):
        extend_unigram(Tokenizer.from_file(str(tmp_path / "tokenizer.json")), [])
