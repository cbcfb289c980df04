"""Fitting the classifier of turns by voice."""

import random

import numpy as np
import pytest

from model.speaking.voice_classifier import SALT_BYTES, read_classifier, write_classifier
from pipeline.training.voice_classifier import MIN_TURNS, fit_classifier

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
    classifier = fit_classifier(make_turns(dict.fromkeys(WORDS, 60)), SALT, 0)

    for voice, messages in make_turns(dict.fromkeys(WORDS, 10), seed=1):
        odds = {name: classifier.log_odds(messages, name) for name in WORDS}
        assert max(odds, key=odds.__getitem__) == voice


def test_a_voice_with_few_turns_is_recognised_beside_one_with_many():
    turns = make_turns({"Hugo": 600, "Raul": 8})

    classifier = fit_classifier(turns, SALT, 0)

    assert classifier.log_odds(["maybe ..."], "Raul") > 0
    assert classifier.log_odds(["great!"], "Hugo") > 0


def test_a_turn_that_anybody_could_write_has_small_log_odds():
    classifier = fit_classifier(make_turns({"Hugo": 200, "Raul": 200}), SALT, 0)

    assert abs(classifier.log_odds(["12345"], "Hugo")) < classifier.log_odds(["great!"], "Hugo") / 2


@pytest.mark.parametrize("names", [("Hugo",), ()], ids=["one voice", "no voice"])
def test_fewer_than_two_voices_have_no_log_odds(names, tmp_path):
    classifier = fit_classifier(make_turns(dict.fromkeys(names, 20)), SALT, 0)
    write_classifier(classifier, tmp_path / "voices")

    assert read_classifier(tmp_path / "voices").log_odds(["great!"], "Hugo") == 0


def test_the_same_turns_make_the_same_file(tmp_path):
    for name in "ab":
        classifier = fit_classifier(make_turns({"Hugo": 30, "Raul": 30}), SALT, 0)
        write_classifier(classifier, tmp_path / name)

    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_file_contains_no_words_and_no_names(tmp_path):
    turns = [("Leonardo", ["my password is xylophone"])] * 9 + make_turns({"Hugo": 9})

    write_classifier(fit_classifier(turns, SALT, 0), tmp_path / "voices")

    written = (tmp_path / "voices").read_bytes()
    for text in ("Leonardo", "Hugo", "password", "xylo", "great", "pass"):
        for encoding in ("utf-8", "utf-16-le", "utf-32-le"):
            assert text.encode(encoding) not in written


def test_what_only_one_turn_contains_is_not_stored():
    turns = make_turns({"Hugo": 30, "Raul": 30})
    rare = [("Raul", ["zqxj"])] * (MIN_TURNS - 1)

    with_rare, without = (fit_classifier(own, SALT, 0) for own in (turns + rare, turns))

    assert set(map(int, with_rare.buckets)) == set(map(int, without.buckets))
    assert np.isfinite(with_rare.ngram_weights).all()
