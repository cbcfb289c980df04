"""Updates that python-telegram-bot cannot read."""

import pytest

from model.chat.eligibility import parse_voice_header


@pytest.mark.parametrize(
    "broken",
    [{"date": 99_999_999_999_999}, {"date": "soon"}, {"date": None}],
    ids=["a date beyond all years", "a date that is a word", "no date"],
)
async def test_an_update_that_cannot_be_read_is_passed_over(live, group, zoe, broken):
    await live.telegram.say(group, zoe, "hello", **broken)

    await live.answer(group, zoe, "/as João")

    assert parse_voice_header(live.said()[-1])[0] == "João"
