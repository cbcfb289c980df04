"""What the check says of the model, the voices, the GPU and the command that retrains."""

import dataclasses
from datetime import UTC, datetime

import ctranslate2
import pytest

from bot.store.database import open_database, prepare_database
from bot.store.groups import Decisions, StoredDecision
from model.artifacts.artifact import LearnedChat
from model.artifacts.registry import Registry
from model.chat.person import Person
from model.chat.roster import Roster
from model.findings import Severity
from tests.bot.conftest import FRIENDS

pytestmark = pytest.mark.over_http


async def test_no_folder_of_models_says_where_it_was_looked_for(empty_desk):
    assert (await empty_desk.says("model")).startswith(
        f"FIX there is no folder {empty_desk.registry.root}: start the bot in the folder that"
    )


async def test_an_empty_folder_of_models(empty_desk):
    empty_desk.registry.root.mkdir()

    assert "train one with `understudy start --models-dir" in await empty_desk.says("model")


async def test_models_of_which_none_serves(empty_desk, card):
    version = empty_desk.add(card, promote=False)

    assert await empty_desk.says("model") == (
        f"FIX no version in {empty_desk.registry.root} is the current one: choose one of "
        f"{version.name} with `understudy models promote`"
    )


async def test_a_model_of_another_version_of_the_code(empty_desk, card):
    old = empty_desk.add(dataclasses.replace(card, prompt="0123456789abcdef"), promote=False)
    (empty_desk.registry.root / "current").write_text(f"{old.name}\n")

    assert "was trained with another prompt format (0123456789abcdef" in await empty_desk.says(
        "model"
    )


async def test_a_damaged_model(desk, card):
    [version] = (desk.registry.root / "versions").iterdir()
    (version / "engine" / "model.bin").write_text("weight$")

    assert await desk.says("model") == (
        f"FIX {version.name} has changed since it was added: train again, or copy it again"
    )


async def test_a_model_that_lacks_a_file(desk):
    [version] = (desk.registry.root / "versions").iterdir()
    (version / "engine" / "model.bin").unlink()

    assert "is incomplete, model.bin is missing" in await desk.says("model")


async def test_nobody_agreed(empty_desk, card):
    empty_desk.add(dataclasses.replace(card, roster=Roster((Person("Ana", (15,)),))))

    unasked = await empty_desk.says("voices")
    with_their_word = await empty_desk.says("voices", consent="roster")

    assert unasked.startswith("FIX Nobody has agreed to be imitated yet")
    assert with_their_word == "ok Ana"


async def test_what_friends_decided_counts(empty_desk, stage, card):
    empty_desk.add(card)
    url = stage.settings().database_url
    await prepare_database(url)
    async with open_database(url) as database:
        for user_id, decision in ((15, "optin"), (13, "optout")):
            made = StoredDecision(user_id, decision, datetime.now(UTC), FRIENDS)
            await Decisions(database).add(made)

    assert await empty_desk.says("voices") == "ok Hugo Silva, Hugo Sá, 李雷, Ana"


def of_group(desk, name):
    return dataclasses.replace(desk, registry=Registry(desk.registry.root / "groups" / name))


class TestGroups:
    """Groups with models of their own."""

    @pytest.fixture
    def climbers(self, desk, stage, card, joao):
        people = (Person("Mia", (31,), imitate="yes"), Person("Ana", (15,)))
        own = dataclasses.replace(
            card, roster=Roster(people), chats=(LearnedChat(-1005678, "Climbers"),)
        )
        return of_group(desk, "climbers").add(own), own

    async def test_their_models_and_voices_are_listed(self, desk, stage, climbers):
        url = stage.settings().database_url
        await prepare_database(url)
        now = datetime.now(UTC)
        async with open_database(url) as database:
            await Decisions(database).add(StoredDecision(15, "optin", now, -1005678))

        assert (await desk.says("model in groups/climbers")).startswith("ok 0001-")
        assert await desk.says("voices in groups/climbers") == "ok Mia, Ana"
        assert await desk.says("voices") == "ok Hugo Silva, Hugo Sá, João, 李雷"

    async def test_their_chats_are_checked_too(self, desk, climbers):
        found = await desk.look()

        [text] = [one.text for one in found if "(-1005678)" in one.text]
        assert text.startswith("the bot does not know Climbers")

    async def test_a_version_that_nobody_promoted_is_reported(self, desk, card):
        choir = of_group(desk, "choir")
        choir.add(card, promote=False)

        assert await desk.says("model in groups/choir") == (
            f"note not used: no version in {choir.registry.root} is current yet: choose one with "
            f"`understudy models promote VERSION --models-dir '{choir.registry.root}'`"
        )

    async def test_a_damaged_one_is_reported(self, desk, climbers):
        version, _ = climbers
        (version / "engine" / "model.bin").write_text("weight$")

        assert await desk.says("model in groups/climbers") == (
            f"FIX {version.name} has changed since it was added: train again, or copy it again"
        )

    async def test_two_for_one_chat_are_reported(self, desk, climbers):
        of_group(desk, "zoo").add(climbers[1])

        found = await desk.look()

        [problem] = [one for one in found if one.severity is Severity.FIX and "zoo" in one.topic]
        assert problem.text == (
            "it learned from chat -1005678, and so did groups/climbers, which the bot uses there: "
            "keep only one of these folders"
        )


@pytest.mark.skipif(ctranslate2.get_cuda_device_count() > 0, reason="there is a GPU")
async def test_a_gpu_that_is_not_there(desk):
    asked_for = await desk.says("DEVICE", device="cuda")
    automatic = await desk.says("DEVICE")

    assert asked_for.startswith("FIX cuda, but CTranslate2 finds no GPU: set DEVICE=auto")
    assert automatic == "ok auto; the model runs on the CPU"


async def test_more_replies_at_a_time_than_cores(desk):
    said = await desk.says("PARALLEL_REPLIES", parallel_replies=16, device="cpu")

    assert said.startswith("note 16, but the CPU has ")


async def test_a_program_that_retrains(desk):
    assert (await desk.says("RETRAIN_COMMAND", retrain_command="sh -c true")).startswith(
        "ok runs /"
    )


async def test_a_program_that_is_not_there(desk):
    assert await desk.says("RETRAIN_COMMAND", retrain_command="understudies retrain") == (
        "FIX there is no program understudies: use its full path"
    )
