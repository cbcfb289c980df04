"""Training examples: pairs, and pieces of whole sessions."""

import random
from datetime import UTC, datetime

import pytest

from model.artifacts.tokenizer import make_codec
from model.chat.conversation import Window
from model.chat.eligibility import WITHHELD
from model.chat.prompt import render_prompt, split_line
from pipeline.dataset.pairs import Pair, SessionLine
from pipeline.training.encoding import (
    IGNORED,
    PIECE_LINES,
    Collator,
    encode,
    encode_pairs,
    encode_sessions,
    hide_voice,
)
from tests.checkpoints import byte_level_tokenizer

LIMIT = 480
NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def codec():
    return make_codec(byte_level_tokenizer([]), end_id=2, pad_id=2)


def session(*said, number=0, pauses=(), context=()):
    """Make a session's lines; `pauses` and `context` are places of pauses and of other context."""
    return [
        SessionLine(
            topic_id=0,
            session=number,
            message_id=100 * number + place,
            line=line,
            is_target=place not in context and line != WITHHELD,
            pauses=place in pauses or place == len(said) - 1,
        )
        for place, line in enumerate(said)
    ]


def learned(codec, row):
    """Return the text of the tokens with a loss; `|` is the end token."""
    ids = [label for label in row["labels"] if label != IGNORED]
    return "|".join(codec.text(part) for part in split_at(ids, codec.end_id))


def split_at(ids, end):
    parts = [[]]
    for number in ids:
        if number == end:
            parts.append([])
        else:
            parts[-1].append(number)
    return parts


def one_row(codec, lines):
    """Return the row of a session that is encoded as one piece."""
    for seed in range(100):
        rows = encode_sessions([lines], codec, LIMIT, seed=seed)
        if len(rows) == 1:
            return rows[0]
    raise AssertionError("always cut")


def test_a_session_is_the_prompt_that_the_bot_builds_with_a_loss_on_each_line(codec):
    lines = session("Hugo: hi", "Ana: hello", "Ana: you", "Hugo: fine")

    row = one_row(codec, lines)

    assert codec.text(row["input_ids"]) == render_prompt([line.line for line in lines])
    assert row["input_ids"] == codec.prompt_ids([line.line for line in lines], LIMIT)
    assert learned(codec, row) == "Hugo: hi\nAna: hello\nAna: you\nHugo: fine|"


def test_after_a_pause_the_reply_ends_and_the_authors_next_label_is_not_learned(codec):
    row = one_row(codec, session("Hugo: hi", "Hugo: still there?", "Ana: yes", pauses=[0]))

    assert learned(codec, row) == "Hugo: hi| still there?\nAna: yes|"


def test_lines_that_are_no_targets_are_read_but_not_learned(codec):
    row = one_row(codec, session("Hugo: hi", WITHHELD, WITHHELD, "Bo: me", "Ana: so", context=[3]))

    assert codec.text(row["input_ids"]) == render_prompt(
        ["Hugo: hi", WITHHELD, "Bo: me", "Ana: so"]
    )
    assert learned(codec, row) == "Hugo: hi\nAna: so|"


def test_each_pass_cuts_long_sessions_at_other_places_and_loses_no_line(codec):
    lines = session(*(f"{'Hugo' if n % 2 else 'Ana'}: {n}" for n in range(100)))

    rows = encode_sessions([lines], codec, 10_000, draws=3)

    texts = [codec.text(row["input_ids"]) for row in rows]
    starts = {text.split("\n")[2] for text in texts}
    assert all(text.count(": ") <= PIECE_LINES for text in texts)
    assert all(sum(f": {n}\n" in text for text in texts) == 3 for n in range(100))
    assert len(starts) > 2 * 100 // PIECE_LINES


def test_a_piece_beyond_the_token_limit_continues_in_another_row(codec):
    lines = session(*(f"Hugo: {'word ' * 20}{n}" for n in range(PIECE_LINES)))

    rows = encode_sessions([lines], codec, 200)

    assert max(rows["length"]) <= 200
    text = "".join(codec.text(row["input_ids"]) for row in rows)
    assert all(f"word {n}\n" in text for n in range(PIECE_LINES))


def test_a_hidden_person_speaks_only_in_the_second_half_and_other_turns_still_end(codec):
    lines = session(*(f"{name}: {n}" for n, name in enumerate(["Hugo", "Ana"] * 6)))

    rows = encode_sessions([lines], codec, LIMIT, speaker_dropout=1.0, draws=40)

    found = 0
    for row in rows:
        texts = [line for line in codec.text(row["input_ids"]).split("\n") if ": " in line]
        names = [split_line(text)[0] for text in texts]
        if len(names) > 6 and len(set(names[:3])) == 1:
            other = names[0]
            found += 1
            # No reply of the other person continues over the hidden line.
            assert (
                f"\n{other}: "
                not in learned(codec, row).split("Hugo" if other == "Ana" else "Ana")[0]
            )
    assert found


def test_the_first_piece_may_begin_with_the_end_of_the_session_before(codec):
    sessions = [session("Hugo: bye", number=0), session("Ana: morning", number=1)]

    rows = encode_sessions(sessions, codec, LIMIT, draws=30)

    seen = {(codec.text(row["input_ids"]).count("Hugo"), learned(codec, row)) for row in rows}
    assert (1, " morning|") in seen
    assert (0, "Ana: morning|") in seen
    far = encode_sessions([sessions[0], session("Ana: hi", number=5)], codec, LIMIT, draws=30)
    assert not any(
        "Hugo" in codec.text(r["input_ids"]) and "Ana" in codec.text(r["input_ids"]) for r in far
    )


def test_a_batch_keeps_labels_before_tokens_without_a_loss():
    rows = [
        {"input_ids": [5, 6, 7, 8, 9], "labels": [IGNORED, 6, IGNORED, IGNORED, 9]},
        {"input_ids": [5, 8], "labels": [IGNORED, 8]},
    ]

    labels = Collator("decoder-only", pad_id=0)(rows)["labels"]

    assert labels.tolist() == [[IGNORED, 6, IGNORED, IGNORED, 9], [IGNORED] * 4 + [8]]


@pytest.mark.parametrize("fill", [0, 1, 3])
def test_the_window_says_how_many_lines_of_the_session_before_may_come_first(codec, fill):
    sessions = [session("Hugo: a", "Hugo: b", "Hugo: c", "Hugo: d"), session("Ana: e", number=1)]

    rows = encode_sessions(sessions, codec, LIMIT, window=Window(fill=fill), draws=30)

    texts = [codec.text(row["input_ids"]) for row in rows]
    assert max(text.count("Hugo") for text in texts if "Ana" in text) == fill


def test_the_same_seed_gives_the_same_rows(codec):
    lines = session(*(f"{'Hugo' if n % 2 else 'Ana'}: {n}" for n in range(100)))

    def rows(seed):
        return encode_sessions(
            [lines], codec, LIMIT, speaker_dropout=0.5, draws=2, seed=seed
        ).to_list()

    assert rows(1) == rows(1) != rows(2)


def pair(context, voice="Hugo", target=("ok",)):
    return Pair(-1, (9,), tuple(range(len(context))), voice, tuple(context), target, NOW)


@pytest.mark.parametrize(("hidden", "share"), [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)])
def test_a_share_of_pairs_hides_the_lines_of_the_voice(codec, hidden, share):
    rows = encode_pairs(
        [pair(["Hugo: a", "Ana: b"])],
        codec,
        "encoder-decoder",
        (200, 40),
        speaker_dropout=hidden,
        draws=400,
    )

    without = sum("Hugo" not in codec.text(row["input_ids"]) for row in rows)
    assert len(rows) == 400
    assert without / 400 == pytest.approx(share, abs=0.08)


def test_a_context_of_the_voice_alone_is_not_hidden(codec):
    [row] = encode_pairs(
        [pair(["Hugo: a"])], codec, "encoder-decoder", (200, 40), speaker_dropout=1.0
    )

    assert "Hugo: a" in codec.text(row["input_ids"])
    assert hide_voice(["Hugo: a", "Hugo Sá: b", WITHHELD], "Hugo") == ("Hugo Sá: b", WITHHELD)


def test_a_reply_that_is_cut_has_no_end(codec):
    whole = encode(codec, "Hugo", ["Ana: b"], ("one two", "three"), (200, 90))
    cut = encode(codec, "Hugo", ["Ana: b"], ("one two three four " * 20,), (200, 9))

    assert whole.reply[-1] == codec.end_id
    assert codec.end_id not in cut.reply
    assert (len(cut.reply), len(cut.is_word)) == (9, 9)
    assert whole.characters == len("one two") + len("three")
    assert [w for w, is_word in zip(whole.reply, whole.is_word, strict=True) if is_word] == [
        number for text in ("one two", "three") for number in codec.reply_ids("Hugo", [text]).ids
    ]


def test_targets_do_not_depend_on_the_order_of_draws(codec):
    chance = random.Random(3)
    lines = session(*(f"{chance.choice(['Hugo', 'Ana', 'Bo'])}: {n}" for n in range(60)))

    rows = encode_sessions([lines], codec, LIMIT, draws=2)

    text = "\n".join(learned(codec, row) for row in rows)
    assert all(text.count(f" {n}\n") + text.count(f" {n}|") == 2 for n in range(60))
