"""The page's server: who may ask it, what it refuses, and the stream of changes."""

import asyncio
import base64
import json
from contextlib import asynccontextmanager

import httpx
import pytest
from telegram import InlineKeyboardButton, InlineKeyboardMarkup

from bot.errors import PlaygroundError
from bot.playground import browser, group_page
from bot.playground.browser import serve_page
from bot.playground.group import SimulatedGroup
from bot.playground.group_page import GroupPage
from tests.bot.playground.test_playground_changes import JPEG

TOKEN = "the-token-of-this-run"  # noqa: S105
EVIL = "http://evil.example"


class Page:
    """A client that sends what the page sends, with changes."""

    def __init__(self, url, client):
        self.url, self.client = url, client
        self.headers = {
            "Origin": url.rstrip("/"),
            "Authorization": f"Bearer {TOKEN}",
            "Content-Type": "application/json",
            "Sec-Fetch-Site": "same-origin",
        }

    async def act(self, name, headers=None, **fields):
        headers = {name: value for name, value in (self.headers | (headers or {})).items() if value}
        return await self.client.post(f"{self.url}api/{name}", headers=headers, json=fields)

    @asynccontextmanager
    async def events(self):
        """Connect to the stream, and yield a function that waits for the next event."""
        stream = self.client.stream(
            "POST", f"{self.url}api/events", headers=self.headers, json={}, timeout=5
        )
        async with stream as answer:
            assert answer.headers["Content-Type"] == "text/event-stream"
            lines = answer.aiter_lines()

            async def event():
                async for line in lines:
                    if line.startswith("data: "):
                        return json.loads(line.removeprefix("data: "))
                return None

            yield event


@pytest.fixture
def page(telegram, friends, hugo):
    telegram.world.can_read_all = True
    people = [hugo, telegram.user(8, "Ana")]
    return GroupPage(SimulatedGroup(telegram, friends, people, ["Hugo"]))


@pytest.fixture
async def visitor(page):
    async with serve_page(page, TOKEN) as url, httpx.AsyncClient() as client:
        yield Page(url, client)


class TestWhoMayAsk:
    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": EVIL},
            {"Origin": "null"},
            {"Origin": ""},
            {"Origin": "http://127.0.0.1:1"},
            {"Authorization": ""},
            {"Authorization": "Bearer guessed"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Host": "evil.example"},
            {"Host": "evil.example", "Origin": EVIL},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("name", ["say", "events", "file"])
    async def test_another_page_may_not(self, telegram, visitor, name, headers):
        refused = await visitor.act(name, headers, person=7, text="hi", file="file-1")

        assert refused.status_code == 403
        assert "Access-Control-Allow-Origin" not in refused.headers
        assert telegram.world.messages == {}

    async def test_a_form_of_another_page_may_not(self, telegram, visitor):
        form = await visitor.client.post(
            f"{visitor.url}api/say", data={"text": "hi"}, headers={"Origin": EVIL}
        )
        plain = await visitor.act("say", {"Content-Type": "text/plain"}, person=7, text="hi")

        assert (form.status_code, plain.status_code) == (403, 415)
        assert telegram.world.messages == {}

    async def test_a_preflight_is_refused(self, visitor):
        asked = {"Origin": EVIL, "Access-Control-Request-Headers": "authorization"}
        answer = await visitor.client.options(f"{visitor.url}api/say", headers=asked)

        assert answer.status_code == 403
        assert "Access-Control-Allow-Origin" not in answer.headers

    @pytest.mark.parametrize("path", ["", "app.js", "api/say", "no/such/page"])
    async def test_a_rebound_domain_gets_nothing(self, visitor, path):
        answer = await visitor.client.get(f"{visitor.url}{path}", headers={"Host": "evil.example"})

        assert answer.status_code == 403
        assert "<html" not in answer.text

    async def test_localhost_is_this_server_too(self, telegram, visitor):
        host = visitor.url.removeprefix("http://").rstrip("/").replace("127.0.0.1", "localhost")
        headers = {"Host": host, "Origin": f"http://{host}"}

        answer = await visitor.act("say", headers, person=7, text="hi")

        assert answer.status_code == 200

    async def test_the_token_is_in_no_file_and_each_is_guarded(self, visitor):
        names = ["", "style.css", "app.js", "messages.js", "composer.js", "icon.svg"]
        answers = [await visitor.client.get(f"{visitor.url}{name}") for name in names]

        for answer in answers:
            assert answer.status_code == 200
            assert TOKEN not in answer.text
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"

    async def test_only_the_pages_own_files_are_served(self, visitor):
        answer = await visitor.client.get(f"{visitor.url}..%2fbrowser.py")
        unknown = await visitor.client.get(f"{visitor.url}browser.py")

        assert (answer.status_code, unknown.status_code) == (405, 404)

    async def test_a_port_in_use_is_named_with_the_option(self, page, visitor):
        port = httpx.URL(visitor.url).port

        with pytest.raises(PlaygroundError, match=rf"port {port} .* --port N"):
            async with serve_page(page, TOKEN, port):
                pass


class TestActions:
    async def test_what_a_person_says_reaches_the_bot_in_the_pages_language(self, bot, visitor):
        await visitor.act("say", person=7, text=" olá /help ", language="pt")

        [update] = await bot.get_updates(timeout=0)

        assert (update.message.text, update.message.from_user.first_name) == ("olá /help", "Hugo")
        assert update.message.from_user.language_code == "pt"
        assert update.message.entities[0].type == "bot_command"

    async def test_a_reply_an_edit_and_a_deletion(self, telegram, bot, friends, visitor):
        await visitor.act("say", person=7, text="hi")
        await visitor.act("say", person=8, text="hello", reply=1)
        await visitor.act("edit", person=7, message=1, text="hi all")
        await visitor.act("delete", person=8, message=2)

        updates = await bot.get_updates(timeout=0)

        assert updates[1].message.reply_to_message.text == "hi"
        assert updates[2].edited_message.text == "hi all"
        assert list(telegram.world.messages) == [(friends.id, 1)]

    async def test_a_picture_and_a_sticker(self, bot, friends, visitor):
        content = base64.b64encode(JPEG).decode()
        await visitor.act("picture", person=7, content=content, text="the sea")
        await visitor.act("sticker", person=7, emoji="😂")
        await visitor.act("sticker", person=8, emoji="😂")

        picture, *stickers = await bot.get_updates(timeout=0)
        file = await visitor.act("file", file=picture.message.photo[0].file_id)

        assert (picture.message.caption, picture.message.photo[0].width) == ("the sea", 30)
        assert file.content == JPEG
        assert len({one.message.sticker.file_id for one in stickers}) == 1

    @pytest.mark.parametrize(
        ("name", "fields", "reason"),
        [
            ("say", {"person": 99, "text": "hi"}, "no such person"),
            ("say", {"person": "7", "text": "hi"}, "no such person"),
            ("say", {"person": [7], "text": "hi"}, "no such person"),
            ("say", {"text": " "}, "write something"),
            ("say", {"text": ["hi"]}, "write something"),
            ("say", {"text": "x" * 4097}, "at most 4,096"),
            ("say", {"text": "hi", "reply": 9}, "was deleted"),
            ("edit", {"message": 1, "text": "no"}, "somebody else's"),
            ("delete", {"message": 1}, "somebody else's"),
            ("delete", {"message": [1]}, "was deleted"),
            ("react", {"message": 1, "emoji": ""}, "choose an emoji"),
            ("press", {"message": 1, "data": "x"}, "button no longer exists"),
            ("vote", {"message": 1, "option": 0}, "not a quiz"),
            ("sticker", {"emoji": "x" * 99}, "choose an emoji"),
            ("picture", {"content": "!"}, "not a PNG or JPEG"),
            ("picture", {"content": "R0lGODlh"}, "not a PNG or JPEG"),
            ("picture", {"content": "é"}, "not a PNG or JPEG"),
            ("file", {"file": "file-9"}, "no such file"),
            ("file", {"file": ["x"]}, "no such file"),
        ],
    )
    async def test_what_is_not_possible_is_refused(
        self, telegram, friends, visitor, name, fields, reason
    ):
        await telegram.say(friends, telegram.world.users[8], "hi")
        before = dict(telegram.world.messages)

        answer = await visitor.act(name, **{"person": 7, **fields})

        assert answer.status_code == 400
        assert reason in answer.json()["error"]
        assert telegram.world.messages == before

    async def test_a_large_picture_is_refused(self, visitor, monkeypatch):
        monkeypatch.setattr(group_page, "LARGEST_PICTURE", len(JPEG) - 1)

        answer = await visitor.act("picture", person=7, content=base64.b64encode(JPEG).decode())

        assert "too large" in answer.json()["error"]

    @pytest.mark.parametrize(
        "body",
        ["{", "[]", "", "[" * 100_000, r'{"person": 7, "text": "\ud83d"}'],
        ids=["half", "list", "nothing", "deep", "half an emoji"],
    )
    async def test_a_body_that_is_no_object_is_refused(self, telegram, visitor, body):
        answer = await visitor.client.post(
            f"{visitor.url}api/say", headers=visitor.headers, content=body
        )

        assert answer.status_code == 400
        assert telegram.world.messages == {}

    async def test_an_unknown_action_is_not_found(self, visitor):
        assert (await visitor.act("explode")).status_code == 404


class TestEvents:
    async def test_the_stream_begins_with_the_group(self, telegram, bot, friends, hugo, visitor):
        said = await telegram.say(friends, hugo, "hi")
        await telegram.react(said, hugo, "👍")
        await telegram.say(telegram.chat(-5, title="Others"), hugo, "elsewhere")

        async with visitor.events() as event:
            group = await event()

        assert group["title"] == "Friends"
        assert [one["name"] for one in group["people"]] == ["Hugo", "Ana"]
        assert [one["isVoice"] for one in group["people"]] == [True, False]
        [message] = group["messages"]
        assert (message["text"], message["reactions"]) == ("hi", {"7": ["👍"]})

    async def test_it_goes_on_with_what_changes(self, telegram, bot, friends, hugo, visitor):
        async with visitor.events() as event:
            await event()
            await telegram.say(telegram.chat(-5, title="Others"), hugo, "elsewhere")
            await bot.send_chat_action(friends.id, "typing")
            sent = await bot.send_message(friends.id, "hello")
            button = InlineKeyboardMarkup([[InlineKeyboardButton("me", callback_data="me")]])
            await bot.edit_message_reply_markup(friends.id, sent.message_id, reply_markup=button)
            await bot.delete_message(friends.id, sent.message_id)
            await bot.set_my_commands([("as", "speak")])
            events = [await event() for _ in range(5)]

        kinds = [one["kind"] for one in events]
        assert kinds == ["action", "message", "message", "deleted", "commands"]
        assert events[2]["message"]["reply_markup"] == button.to_dict()
        assert events[4]["commands"]["en"][0]["command"] == "as"

    async def test_a_slow_page_is_disconnected(self, telegram, friends, hugo, page, monkeypatch):
        monkeypatch.setattr(group_page, "MAX_WAITING", 2)
        with page.subscribe() as changes:
            for _ in range(9):
                await telegram.say(friends, hugo, "hi")

            waiting = [changes.get_nowait() for _ in range(changes.qsize())]

        assert [one and one["kind"] for one in waiting] == ["group", "message", None]

    async def test_a_page_that_leaves_is_forgotten(self, page, visitor, monkeypatch):
        monkeypatch.setattr(browser, "HEARTBEAT_SECONDS", 0.01)
        async with visitor.events() as event:
            await event()
            assert len(page._pages) == 1

        async with asyncio.timeout(5):
            while page._pages:  # noqa: ASYNC110 - leaving has no event
                await asyncio.sleep(0.01)
