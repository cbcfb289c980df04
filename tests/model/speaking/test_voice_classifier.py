"""The classifier of turns by voice: features, the file, the log-odds."""

import math
import stat
import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import ArtifactError
from model.speaking.voice_classifier import (
    BUCKETS,
    LINE_HABITS,
    MAX_BYTES,
    MAX_MESSAGES,
    SALT_BYTES,
    VoiceTable,
    count_ngrams_that_fit,
    hash_name,
    hash_ngrams,
    read_table,
    write_table,
)

SALT = bytes(range(SALT_BYTES))
HABITS = len(LINE_HABITS)
LENGTHS = np.array([[-n, math.log(10 * n), 0.5] for n in range(1, 6)], np.float32)


def make_table(weights, names=("Hugo", "Raul")):
    """Return a table whose n-grams have these weights for each of the names."""
    hashed = {hash_ngrams([gram], SALT, {})[0][0]: row for gram, row in weights.items()}
    buckets = sorted(hashed)
    return VoiceTable(
        salt=SALT,
        voices=np.array([hash_name(name, SALT) for name in names], np.uint64),
        bias=np.zeros(len(names), np.float32),
        habit_means=np.zeros(HABITS, np.float32),
        habit_deviations=np.ones(HABITS, np.float32),
        habit_weights=np.zeros((HABITS, len(names)), np.float32),
        lengths=np.tile(LENGTHS, (len(names), 1, 1)),
        buckets=np.array(buckets, np.uint16),
        idf=np.ones(len(buckets), np.float32),
        ngram_weights=np.array([hashed[b] for b in buckets], np.float32).reshape(-1, len(names)),
    )


def test_log_odds_are_the_difference_to_all_other_voices_together():
    table = make_table({"x": (2, 1, 0)}, names=("Hugo", "Raul", "Ana"))

    assert table.log_odds(["x"], "Hugo") == pytest.approx(2 - np.log(np.e + 1))
    assert table.log_odds(["x"], "Ana") == pytest.approx(0 - np.log(np.e**2 + np.e))


def test_two_voices_have_opposite_log_odds():
    table = make_table({"x": (2, -1), "y": (0, 3)})

    odds = [table.log_odds(["x y", "y"], name) for name in ("Hugo", "Raul")]

    assert odds[0] == pytest.approx(-odds[1])
    assert odds[1] > 0


def test_a_text_without_known_ngrams_favours_nobody():
    assert make_table({"x": (2, -1)}).log_odds(["日本"], "Hugo") == 0
    assert make_table({}).log_odds(["x"], "Hugo") == 0


def test_a_voice_that_was_not_learned_has_no_log_odds():
    assert make_table({"x": (2, -1)}).log_odds(["x"], "Zoe") == 0


def test_a_single_voice_has_no_log_odds():
    assert make_table({"x": (2,)}, names=("Hugo",)).log_odds(["x"], "Hugo") == 0


def test_a_length_is_the_more_usual_the_nearer_it_is_to_the_voices_own():
    table = make_table({})

    def usual(*lengths):
        return table.log_length(["x" * length for length in lengths], "Hugo")

    assert usual(10) == pytest.approx(-1 + math.log(2))
    assert usual(10) > usual(14) > usual(20)
    assert usual(10) > usual(7) > usual(5)
    assert usual(10, 10) == pytest.approx(usual(10) - 1)
    assert usual(*[10] * 5) == usual(*[5] * 10)
    assert usual(100_000) == usual(1_000_000) == -1 - 4
    assert table.log_length(["x"], "Zoe") == 0


def test_ngrams_stay_within_words_and_count_their_borders():
    known: dict[str, int] = {}

    hash_ngrams(["ab cde", "😂"], SALT, known)

    assert set(known) == {
        *"abcde😂", " a", "ab", "b ", " ab", "ab ", " ab ", " c", "cd", "de", "e ", " cd", "cde",
        "de ", " cde", "cde ", " 😂", "😂 ", " 😂 ",
    }  # fmt: skip


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=80), max_size=4))
def test_every_text_has_buckets_in_order_and_finite_log_odds(messages):
    buckets, counts = hash_ngrams(messages, SALT, {})
    grams = sum(4 * len(w) for m in messages for w in m.split())

    assert counts.sum() == grams
    assert (np.diff(buckets) > 0).all()
    assert all(0 <= bucket < BUCKETS for bucket in buckets)
    assert np.isfinite(make_table({"a": (1, -1)}).log_odds(messages, "Hugo"))


def test_other_salts_give_other_buckets_and_hashes():
    grams = [*string.ascii_letters]
    one, other = (hash_ngrams(grams, salt, {})[0] for salt in (SALT, SALT[::-1]))

    assert len(set(one) & set(other)) < len(grams) / 2
    assert hash_name("Hugo", SALT) != hash_name("Hugo", SALT[::-1])


def test_a_written_table_is_read_back_and_is_private(tmp_path):
    written = make_table({"x": (2, 1, 0), "😂": (-0.5, 0.25, 8)}, names=("A", "B", "C"))
    path = tmp_path / "voices"

    write_table(written, path)
    read = read_table(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for messages in (["x"], ["😂 x", "x"], ["nothing"]):
        assert read.log_odds(messages, "C") == pytest.approx(written.log_odds(messages, "C"))


@pytest.mark.parametrize(
    "harm",
    [lambda _: b"", lambda found: found[:-3], lambda found: found + b"1",
     lambda found: b"x" + found[1:], lambda found: found[:-2] + b"\x00\x7c",
     lambda found: found[:36] + b"\xff\xff\xff\x7f" + found[40:]],
    ids=["empty", "cut", "too long", "something else", "an infinite weight", "too many n-grams"],
)  # fmt: skip
def test_a_damaged_table_is_refused(tmp_path, harm):
    path = tmp_path / "voices"
    write_table(make_table({"x": (2, 1)}), path)
    path.write_bytes(harm(path.read_bytes()))

    with pytest.raises(ArtifactError, match="train again"):
        read_table(path)


def test_a_missing_table_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_table(tmp_path / "voices")


@pytest.mark.parametrize("voices", [1, 2, 5, 100, 1000])
def test_the_largest_table_is_smaller_than_the_limit(tmp_path, voices):
    ngrams = min(BUCKETS, count_ngrams_that_fit(voices))
    table = VoiceTable(
        SALT, np.zeros(voices, np.uint64), np.zeros(voices), np.zeros(HABITS), np.ones(HABITS),
        np.zeros((HABITS, voices)), np.ones((voices, MAX_MESSAGES, 3)), np.arange(ngrams),
        np.ones(ngrams), np.zeros((ngrams, voices)),
    )  # fmt: skip

    write_table(table, tmp_path / "voices")

    assert (tmp_path / "voices").stat().st_size <= MAX_BYTES
    assert ngrams > 700
