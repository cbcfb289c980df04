"""Words as people write them, and those that are characteristic of each person."""

import math
from collections import Counter

import pytest

from model.chat.words import EMOJI, find_characteristic_words, split_shown_words


def test_shown_words_keep_accents_and_apostrophes_and_leave_out_links_names_and_numbers():
    text = "Não sei, I don’t know @ana http://x.org/a www.y.org 12 a1 e-mail well_1"

    assert split_shown_words(text) == ["não", "sei", "i", "don't", "know", "e-mail"]


def test_scripts_without_spaces_give_pairs_of_characters():
    assert split_shown_words("哈哈哈 ok") == ["哈哈", "哈哈", "ok"]


def test_an_emoji_of_several_characters_is_one():
    assert EMOJI.findall("👍🏽 a 👨‍👩‍👧 🇵🇹🇧🇷 ❤️‍🔥 12") == ["👍🏽", "👨‍👩‍👧", "🇵🇹", "🇧🇷", "❤️‍🔥"]


COUNTS = {
    "Ana": Counter(bom=40, dia=100, sim=20),
    "Rui": Counter(dia=100, sim=25, pá=30),
    "Eva": Counter(dia=100, sim=15, olá=3, bom=2),
}


def test_characteristic_words_are_those_that_others_rarely_use():
    found = find_characteristic_words(COUNTS, most=5, min_count=3)

    words = {name: [one.word for one in own] for name, own in found.items()}
    assert words["Ana"] == ["bom"]
    assert words["Rui"] == ["pá"]
    assert "sim" not in words["Eva"]


def test_the_score_is_the_z_score_of_monroe_colaresi_and_quinn():
    one = find_characteristic_words(COUNTS, most=1, min_count=3)["Ana"][0]

    total, own, others = 435, 160, 275
    words = total / 10
    prior = words * 42 / total  # "bom" among all words
    odds = (40 + prior) / (own + words - 40 - prior)
    their_odds = (2 + prior) / (others + words - 2 - prior)
    expected = math.log(odds / their_odds) / math.sqrt(1 / (40 + prior) + 1 / (2 + prior))
    assert (one.word, one.count) == ("bom", 40)
    assert one.score == pytest.approx(expected)


def test_a_frequent_word_of_everybody_is_not_characteristic_however_significant():
    counts = {"Ana": {"the": 6_000, "x": 94_000}, "Rui": {"the": 5_000, "x": 95_000}}

    assert find_characteristic_words(counts, most=5, min_count=3)["Ana"] == ()


@pytest.mark.parametrize("counts", [{}, {"Ana": {"a": 9}}, {"Ana": {"a": 9, "b": 9}, "Rui": {}}])
def test_without_somebody_to_compare_with_nothing_is_characteristic(counts):
    assert not any(find_characteristic_words(counts, most=5, min_count=1).values())
