"""SIGKILL at random moments, of the real process with a really trained model."""

import random

import pytest

from bot.playground.server import serve
from bot.playground.telegram import Telegram
from tests.kills import A_KILL, killed
from tests.test_live import Friends

ONE_FAMILY = pytest.mark.parametrize("trained", ["encoder-decoder"], indirect=True)


async def toll_of(trained, folder, kills, seed):
    telegram = Telegram(can_read_all=True)
    async with serve(telegram) as url:
        friends = Friends(telegram, url, trained, folder)
        try:
            return await killed(friends, random.Random(seed), kills)
        finally:
            if friends.process.poll() is None:
                friends.process.kill()
            friends.process.wait()


@ONE_FAMILY
async def test_ten_kills_lose_nothing_and_double_nothing(trained, tmp_path):
    toll = await toll_of(trained, tmp_path, 10, seed=7)

    assert toll.lost == []
    assert toll.doubled == []
    assert toll.answered + toll.uncertain + toll.set_aside >= 10 * A_KILL
    assert toll.set_aside <= 1


@pytest.mark.soak
@ONE_FAMILY
async def test_two_hundred_kills_lose_nothing_and_double_nothing(trained, tmp_path, capsys):
    kills = 200

    toll = await toll_of(trained, tmp_path, kills, seed=8)

    with capsys.disabled():
        print(  # noqa: T201  a measurement
            f"\n{kills} kills, {kills * A_KILL} commands: {len(toll.lost)} lost, "
            f"{len(toll.doubled)} doubled, {toll.uncertain} uncertain, "
            f"{toll.set_aside} set aside, {toll.answered} answered"
        )
    assert toll.lost == []
    assert toll.doubled == []
