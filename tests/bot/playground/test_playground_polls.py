"""Quizzes: what is refused, who voted, and what the bot hears."""

import pytest
from telegram.error import BadRequest


@pytest.fixture
def ask(bot, friends):
    async def ask(question="Who?", options=("Hugo", "Ana"), right=1, **more):
        return await bot.send_poll(
            friends.id, question, options, type="quiz", is_anonymous=False,
            api_kwargs={"correct_option_ids": [right]}, **more,
        )  # fmt: skip

    return ask


async def test_a_quiz_is_a_message_that_people_answer(bot, telegram, ask, hugo, friends):
    sent = await ask(explanation="It was Ana.")

    await telegram.vote(sent.to_dict(), hugo, 0)

    [state, answer] = await bot.get_updates(allowed_updates=["poll", "poll_answer"])
    assert (sent.poll.question, sent.poll.correct_option_ids) == ("Who?", (1,))
    assert sent.poll.explanation == "It was Ana."
    assert [option.voter_count for option in state.poll.options] == [1, 0]
    assert answer.poll_answer.poll_id == sent.poll.id
    assert answer.poll_answer.user.id == hugo.id
    assert answer.poll_answer.option_ids == (0,)


async def test_an_anonymous_quiz_tells_nobody_s_name(bot, telegram, friends, hugo):
    sent = await bot.send_poll(
        friends.id, "Who?", ["Hugo", "Ana"], type="quiz",
        api_kwargs={"correct_option_ids": [0]},
    )  # fmt: skip

    await telegram.vote(sent.to_dict(), hugo, 0)

    [update] = await bot.get_updates()
    assert update.poll_answer is None


async def test_nobody_answers_twice_or_what_is_not_offered(telegram, ask, hugo):
    sent = (await ask()).to_dict()
    await telegram.vote(sent, hugo, 0)

    with pytest.raises(ValueError, match="has already answered"):
        await telegram.vote(sent, hugo, 1)
    with pytest.raises(ValueError, match="no option 2"):
        await telegram.vote(sent, telegram.user(8, "Ana"), 2)


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"question": "a" * 301}, "question length"),
        ({"question": " "}, "question must be non-empty"),
        ({"options": ["one"]}, "from 2 to 10"),
        ({"options": [str(n) for n in range(11)]}, "from 2 to 10"),
        ({"options": ["a" * 101, "b"]}, "option length"),
        ({"right": 2}, "Wrong correct option"),
        ({"explanation": "a" * 201}, "explanation length"),
        ({"explanation": "a\nb\nc\nd"}, "line feeds"),
    ],
)
async def test_what_telegram_would_not_post_is_refused(ask, changes, refusal):
    with pytest.raises(BadRequest, match=refusal):
        await ask(**changes)
