import pytest

from pipeline.dataset.pairs import find_doubts


def why(target, last="Ana: and now?"):
    return find_doubts(("Hugo: hi", last), (target,) if isinstance(target, str) else target)


@pytest.mark.parametrize(
    ("target", "mark"),
    [
        ("https://example.org/a?b=c", "lone link"),
        ("www.example.org", "lone link"),
        ("T.me/somebody", "lone link"),
        ("42", "lone number"),
        ("12:30", "lone number"),
        ("10 000 €", "lone number"),
        ("my pin is 123-45-67", "many digits"),
        ("and now?", "echo"),
        ("ab " * 167, "long"),
        ("WHERE ARE YOU ALL TODAY", "capitals"),
        ("ОТКУДА ВЫ ВСЕ СЕГОДНЯ ВЗЯЛИСЬ", "capitals"),
    ],
)
def test_a_doubt_has_a_name(target, mark):
    assert why(target) == (mark,)


@pytest.mark.parametrize(
    "target",
    [
        "hello",
        "see https://example.org",
        "2 of us",
        "at 12:30",
        "OK",
        "AHAHAHAHA",
        "And now?",
        "and",
        "ab " * 166,
        "😂😂😂",
    ],
)
def test_ordinary_talk_is_not_doubted(target):
    assert why(target) == ()


def test_a_target_may_be_doubtful_for_several_reasons():
    assert why("1234567 " * 70, "Ana: " + "1234567 " * 70) == (
        "lone number", "many digits", "echo", "long",
    )  # fmt: skip


def test_all_messages_of_a_turn_are_one_target():
    assert why(("https://example.org", "look at this")) == ()
    assert why(("a" * 300, "b" * 300)) == ("long",)


def test_what_is_withheld_is_echoed_by_nobody():
    assert why("hm", "[…]") == ()
