"""Joins, leaves, `/allow` and migration, through the real bot."""

from dataclasses import replace

import pytest

from bot.handlers import membership
from bot.texts import EN, PT_BR
from model.artifacts.artifact import LearnedChat
from model.chat.eligibility import add_voice_header
from tests.simulated_telegram import move, remove_bot

HOME, ELSEWHERE, MOVED = -1001234, -1009999, -1005555
JOAO = "13"
GREETING = EN.greeting.format(voices="Voices here: Hugo Silva, Hugo Sá, João, 李雷.")
ORIGIN_TOLD = EN.needs_allow.format(chats="Friends")


@pytest.fixture(autouse=True)
def _settles_soon(monkeypatch):
    monkeypatch.setattr(membership, "MOVE_SECONDS", 0.5)


@pytest.fixture
async def guarded(stage):
    """The stage with the bot up, João its admin."""
    async with stage.running(admins=JOAO):
        yield stage


@pytest.fixture
def elsewhere(stage):
    return stage.telegram.chat(ELSEWHERE, title="Other people")


async def speaks(stage, chat, user):
    """Whether the bot answers in a voice there."""
    return (await stage.answer(chat, user, "/as João"))["text"].startswith("🎭 João\n")


class TestJoining:
    @pytest.mark.parametrize("status", ["member", "administrator"])
    async def test_it_greets_a_group_that_an_admin_added_it_to(
        self, guarded, group, joao, zoe, status
    ):
        greeting = await guarded.enter(group, joao, status=status)

        assert greeting["text"] == GREETING
        assert await speaks(guarded, group, zoe)

    @pytest.mark.parametrize("kind", ["group", "supergroup"])
    @pytest.mark.parametrize("admins", [JOAO, ""], ids=["with an admin", "without admins"])
    async def test_it_explains_and_leaves_other_groups(self, stage, zoe, kind, admins):
        chat = stage.telegram.chat(ELSEWHERE, title="Other people", kind=kind)
        async with stage.running(admins=admins):
            line = await stage.enter(chat, zoe)
            await stage.telegram.wait_for("leaveChat", chat_id=ELSEWHERE)

        assert line["text"] == (EN.not_added_by_admin if admins else EN.no_admin_yet)
        assert stage.said() == [line["text"]]

    async def test_it_leaves_the_learned_group_if_a_stranger_adds_it(self, guarded, group, zoe):
        await guarded.enter(group, zoe)

        await guarded.telegram.wait_for("leaveChat", chat_id=HOME)

    async def test_a_public_model_needs_an_admin_too(self, stage, card, elsewhere, joao, zoe):
        async with stage.running(replace(card, public=True), admins=JOAO):
            await stage.enter(elsewhere, zoe)
            await stage.telegram.wait_for("leaveChat", chat_id=ELSEWHERE)
            greeting = await stage.enter(elsewhere, joao)

            assert greeting["text"] == GREETING
            assert await speaks(stage, elsewhere, zoe)

    async def test_it_answers_nobody_while_it_leaves(self, guarded, group, zoe, monkeypatch):
        monkeypatch.setattr(membership, "MOVE_SECONDS", 1.0)
        await membership_change(guarded, group, zoe, "member")

        answer = await guarded.answer(group, zoe, "/as João")

        assert answer["text"] == EN.silent_here
        assert not guarded.speaker.asked

    async def test_an_anonymous_admin_does_not_count_as_the_bots_admin(self, stage, group):
        stranger = stage.telegram.world.users[1087968824]
        async with stage.running(admins=f"{JOAO} {stranger.id}"):
            line = await stage.enter(group, stranger)

        assert line["text"] == EN.not_added_by_admin

    async def test_it_leaves_a_channel_without_posting_there(self, guarded, zoe):
        channel = guarded.telegram.chat(ELSEWHERE, title="News", kind="channel")
        guarded.telegram.private(zoe)

        line = await guarded.enter(channel, zoe, status="administrator")
        await guarded.telegram.wait_for("leaveChat", chat_id=ELSEWHERE)

        assert (line["chat"]["id"], line["text"]) == (zoe.id, EN.no_channels)

    async def test_it_leaves_a_channel_even_if_it_cannot_explain(self, guarded, zoe):
        channel = guarded.telegram.chat(ELSEWHERE, title="News", kind="channel")
        await membership_change(guarded, channel, zoe, "administrator")

        await guarded.telegram.wait_for("leaveChat", chat_id=ELSEWHERE)

        assert not guarded.said()

    async def test_it_leaves_even_if_it_may_not_write(self, guarded, elsewhere, zoe):
        guarded.telegram.fail_next("sendMessage", 400, "Bad Request: not enough rights")
        await membership_change(guarded, elsewhere, zoe, "member")

        await guarded.telegram.wait_for("leaveChat", chat_id=ELSEWHERE)

    async def test_leaving_is_retried(self, guarded, elsewhere, zoe, monkeypatch):
        monkeypatch.setattr(membership, "LEAVE_WAITS", (0.01,))
        guarded.telegram.drop_next("leaveChat")

        await guarded.enter(elsewhere, zoe)
        await guarded.telegram.wait_for("leaveChat", refused=True)

        assert guarded.telegram.sent("leaveChat")

    async def test_it_explains_in_the_language_of_who_added_it(self, guarded, elsewhere):
        rita = Lusophone(98, "Rita")

        line = await guarded.enter(elsewhere, rita)

        assert line["text"] == PT_BR.not_added_by_admin


class TestRejoining:
    async def test_an_admin_can_add_it_again(self, guarded, group, joao, zoe):
        await guarded.enter(group, joao)
        await remove_bot(guarded.telegram, group, zoe)

        greeting = await guarded.enter(group, joao)

        assert greeting["text"] == GREETING
        assert await speaks(guarded, group, zoe)

    async def test_others_cannot_add_it_again(self, guarded, group, joao, zoe):
        await guarded.enter(group, joao)
        await remove_bot(guarded.telegram, group, joao)

        line = await guarded.enter(group, zoe)
        await guarded.telegram.wait_for("leaveChat", chat_id=HOME)

        assert line["text"] == EN.not_added_by_admin

    async def test_an_allowed_group_stays_allowed(self, guarded, elsewhere, joao, zoe):
        await guarded.enter(elsewhere, joao)
        await guarded.answer(elsewhere, joao, "/allow")
        await remove_bot(guarded.telegram, elsewhere, zoe)

        greeting = await guarded.enter(elsewhere, joao)

        assert greeting["text"] == GREETING

    async def test_other_status_changes_are_no_arrival(self, guarded, group, zoe):
        for status in ("restricted", "member", "administrator", "member"):
            await guarded.telegram.set_status(group, guarded.telegram.me, status, by=zoe)

        assert await speaks(guarded, group, zoe)
        assert not guarded.telegram.sent("leaveChat")

    async def test_it_answers_again_once_it_is_unmuted(self, guarded, group, zoe):
        await guarded.telegram.set_status(group, guarded.telegram.me, "restricted", by=zoe)
        await guarded.telegram.say(group, zoe, "/as João")
        await guarded.telegram.wait_for("sendMessage", refused=True)
        await guarded.telegram.set_status(group, guarded.telegram.me, "member", by=zoe)

        assert await speaks(guarded, group, zoe)


class TestAllowing:
    async def test_another_group_learns_the_origin_before_it_is_allowed(
        self, guarded, elsewhere, joao, zoe
    ):
        told = await guarded.enter(elsewhere, joao)
        before = await guarded.answer(elsewhere, zoe, "/as João")
        allowed = await guarded.answer(elsewhere, joao, "/allow")

        assert told["text"] == ORIGIN_TOLD
        assert before["text"] == EN.silent_here
        assert allowed["text"] == EN.allowed.format(chats="Friends")
        assert await speaks(guarded, elsewhere, zoe)

    async def test_a_group_it_was_in_before_learns_the_origin_first(
        self, guarded, elsewhere, joao, zoe
    ):
        told = await guarded.answer(elsewhere, joao, "/allow")
        still_silent = not await speaks(guarded, elsewhere, zoe)
        await guarded.answer(elsewhere, joao, "/allow")

        assert told["text"] == ORIGIN_TOLD
        assert still_silent
        assert await speaks(guarded, elsewhere, zoe)

    async def test_only_an_admin_can_allow(self, guarded, elsewhere, joao, zoe):
        await guarded.enter(elsewhere, joao)
        refusals = [await guarded.answer(elsewhere, who, "/allow") for who in (zoe, None)]

        assert [refusal["text"] for refusal in refusals] == [EN.admins_only] * 2
        assert not await speaks(guarded, elsewhere, zoe)

    async def test_it_survives_a_restart_but_not_a_model_of_another_chat(
        self, stage, card, elsewhere, joao, zoe
    ):
        async with stage.running(admins=JOAO):
            await stage.enter(elsewhere, joao)
            await stage.answer(elsewhere, joao, "/allow")
        async with stage.running(admins=JOAO):
            after_a_restart = await speaks(stage, elsewhere, zoe)
        changed = replace(card, chats=(LearnedChat(-1007777, "Family"),))
        async with stage.running(changed, admins=JOAO):
            of_the_family = await speaks(stage, elsewhere, zoe)

        assert after_a_restart
        assert not of_the_family

    async def test_it_is_refused_in_private(self, guarded, joao):
        answer = await guarded.answer(guarded.telegram.private(joao), joao, "/allow")

        assert answer["text"] == EN.groups_only


class TestMoving:
    """Telegram reports a move in up to three updates, in any order."""

    ORDERS = ("on", "no", "onj", "jon", "ojn", "njo", "o", "n")

    @pytest.fixture
    def home(self, stage):
        """A basic group, from which the model learned."""
        return stage.telegram.chat(-77, title="Friends", kind="group")

    @pytest.fixture
    async def at_home(self, stage, card):
        async with stage.running(replace(card, chats=(LearnedChat(-77, "Friends"),)), admins=JOAO):
            yield stage

    @pytest.mark.parametrize("order", ORDERS)
    @pytest.mark.parametrize("known", [True, False], ids=["let in", "in no table"])
    async def test_the_learned_group_stays_allowed(self, at_home, home, joao, zoe, order, known):
        if known:
            await at_home.enter(home, joao)

        moved = await move(at_home.telegram, home, MOVED, zoe, order=order)
        answer = await at_home.answer(moved, zoe, "/as João")

        assert answer["text"].startswith("🎭 João\n")
        assert not at_home.telegram.sent("leaveChat")
        assert EN.not_added_by_admin not in at_home.said()

    @pytest.mark.parametrize("order", ORDERS)
    async def test_permissions_and_settings_move_with_the_group(self, guarded, joao, zoe, order):
        group = guarded.telegram.chat(-88, title="Others", kind="group")
        await guarded.enter(group, joao)
        await guarded.answer(group, joao, "/allow")

        moved = await move(guarded.telegram, group, MOVED, zoe, order=order)

        assert await speaks(guarded, moved, zoe)

    async def test_a_silent_group_stays_silent(self, guarded, zoe):
        group = guarded.telegram.chat(-88, title="Others", kind="group")

        moved = await move(guarded.telegram, group, MOVED, zoe, order="on")

        assert not await speaks(guarded, moved, zoe)

    async def test_the_old_id_is_remembered_after_a_restart(self, stage, card, home, zoe):
        changed = replace(card, chats=(LearnedChat(-77, "Friends"),))
        async with stage.running(changed, admins=JOAO):
            moved = await move(stage.telegram, home, MOVED, zoe, order="onj")
            await stage.answer(moved, zoe, "/help")
        async with stage.running(changed, admins=JOAO):
            answer = await stage.answer(moved, zoe, "/as João")

        assert answer["text"] == add_voice_header("João", "João number 1")


class Lusophone:
    """A person whose Telegram is in Portuguese: the playground's people have no language."""

    def __init__(self, number, name):
        self.id, self.first_name, self.is_bot = number, name, False

    def json(self):
        names = {"first_name": self.first_name, "language_code": "pt-br"}
        return {"id": self.id, "is_bot": False, **names}


async def membership_change(stage, chat, by, status):
    """Add the bot without the service message about it."""
    await stage.telegram.set_status(chat, stage.telegram.me, "left", by=by)
    await stage.telegram.set_status(chat, stage.telegram.me, status, by=by)
