"""A long message is learned once, however often it was sent."""

import pytest

from pipeline.dataset.pairs import SessionLine
from pipeline.training.repeats import learn_lines_once, learn_pairs_once
from tests.pipeline.chats import pair

DOOR = "the code of my door is four zero nine"


def line(text, number=1, *, is_target=True):
    return SessionLine(0, 0, number, f"Hugo: {text}", is_target=is_target, pauses=False)


def targets(*sessions):
    """Return the texts that are learned of sessions of these texts."""
    lines = [[line(text) for text in session] for session in sessions]
    return [
        [one.line.removeprefix("Hugo: ") for one in session if one.is_target]
        for session in learn_lines_once(lines)
    ]


def test_later_copies_in_any_session_are_context_only():
    assert targets([DOOR, "ok"], ["hm", DOOR, DOOR]) == [[DOOR, "ok"], ["hm"]]


def test_all_lines_of_a_session_are_kept():
    sessions = [[line(DOOR), line(DOOR, 2)]]

    assert [len(session) for session in learn_lines_once(sessions)] == [2]


def test_short_messages_are_learned_each_time():
    assert targets(["good morning"], ["good morning"]) == [["good morning"], ["good morning"]]


@pytest.mark.parametrize("copy", [DOOR.upper(), f"{DOOR}!!", DOOR.replace(" ", "  ")])
def test_case_punctuation_and_spaces_do_not_make_another_message(copy):
    assert targets([DOOR, copy]) == [[DOOR]]


def test_a_line_that_was_context_does_not_count_as_learned():
    first, second = learn_lines_once([[line(DOOR, is_target=False)], [line(DOOR)]])

    assert not first[0].is_target
    assert second[0].is_target


def test_a_pair_with_a_long_target_is_learned_once():
    pairs = [pair(1, DOOR), pair(2, "ok"), pair(3, DOOR), pair(4, "ok"), pair(5, DOOR, "ok")]

    assert [one.message_ids for one in learn_pairs_once(pairs)] == [(1,), (2,), (4,), (5,)]


def test_words_of_several_messages_are_one_target():
    halves = (DOOR[:20], DOOR[20:])

    assert len(learn_pairs_once([pair(1, *halves), pair(2, *halves)])) == 1
