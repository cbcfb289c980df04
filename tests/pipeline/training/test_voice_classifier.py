"""Fitting the classifier of turns by voice."""

import random

import numpy as np
import pytest

from model.speaking.voice_classifier import SALT_BYTES, read_table, write_table
from pipeline.training.voice_classifier import MIN_TURNS, fit_table

SALT = bytes(range(SALT_BYTES))
WORDS = {
    "Hugo": ("sure!", "OK!", "great!", "Yes!"),
    "Raul": ("hm ...", "not sure ...", "maybe ...", "dunno ..."),
    "李雷": ("你好", "我不知道", "真的吗", "哈哈"),
    "Emo": ("😂", "🎉🎉", "😂😂", "👍"),
}


def make_turns(counts, seed=0):
    chance = random.Random(seed)
    return [
        (name, chance.choices(WORDS[name], k=chance.choice((1, 2))))
        for name, count in counts.items()
        for _ in range(count)
    ]


def test_each_voice_is_the_likeliest_of_its_own_new_turns():
    table = fit_table(make_turns(dict.fromkeys(WORDS, 60)), SALT)

    for voice, messages in make_turns(dict.fromkeys(WORDS, 10), seed=1):
        odds = {name: table.log_odds(messages, name) for name in WORDS}
        assert max(odds, key=odds.__getitem__) == voice


def test_a_voice_with_few_turns_is_recognised_beside_one_with_many():
    turns = make_turns({"Hugo": 600, "Raul": 8})

    table = fit_table(turns, SALT)

    assert table.log_odds(["maybe ..."], "Raul") > 0
    assert table.log_odds(["great!"], "Hugo") > 0


def test_a_turn_that_anybody_could_write_has_small_log_odds():
    table = fit_table(make_turns({"Hugo": 200, "Raul": 200}), SALT)

    assert abs(table.log_odds(["12345"], "Hugo")) < table.log_odds(["great!"], "Hugo") / 2


@pytest.mark.parametrize("names", [("Hugo",), ()], ids=["one voice", "no voice"])
def test_fewer_than_two_voices_have_no_log_odds(names, tmp_path):
    table = fit_table(make_turns(dict.fromkeys(names, 20)), SALT)
    write_table(table, tmp_path / "voices")

    assert read_table(tmp_path / "voices").log_odds(["great!"], "Hugo") == 0


def test_the_same_turns_make_the_same_file(tmp_path):
    for name in "ab":
        table = fit_table(make_turns({"Hugo": 30, "Raul": 30}), SALT)
        write_table(table, tmp_path / name)

    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_file_contains_no_words_and_no_names(tmp_path):
    turns = [("Leonardo", ["my password is xylophone"])] * 9 + make_turns({"Hugo": 9})

    write_table(fit_table(turns, SALT), tmp_path / "voices")

    written = (tmp_path / "voices").read_bytes()
    for text in ("Leonardo", "Hugo", "password", "xylo", "great", "pass"):
        for encoding in ("utf-8", "utf-16-le", "utf-32-le"):
            assert text.encode(encoding) not in written


def test_what_only_one_turn_contains_is_not_stored():
    turns = make_turns({"Hugo": 30, "Raul": 30})
    rare = [("Raul", ["zqxj"])] * (MIN_TURNS - 1)

    with_rare, without = (fit_table(own, SALT) for own in (turns + rare, turns))

    assert set(map(int, with_rare.buckets)) == set(map(int, without.buckets))
    assert np.isfinite(with_rare.ngram_weights).all()


def test_lengths_are_those_of_the_voices_own_turns():
    turns = [("Hugo", ["a short line"])] * 40 + [("Raul", ["x" * 60, "y" * 60])] * 40

    table = fit_table(turns, SALT)

    short, burst, long = ["another line"], ["a line", "a line"], ["z" * 59, "z" * 58]
    assert table.log_length(short, "Hugo") > table.log_length(burst, "Hugo") + 1
    assert table.log_length(long, "Raul") > table.log_length(burst, "Raul") + 1
    assert table.log_length(long, "Raul") > table.log_length(short, "Raul") + 1


def test_unseen_numbers_of_messages_stay_possible():
    table = fit_table(make_turns({"Hugo": 3, "Raul": 1}), SALT)

    for count in range(1, 9):
        assert -12 < table.log_length(["fine"] * count, "Raul") < 5
