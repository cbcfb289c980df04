"""The page in a real browser, with the real bot and a fake model behind it."""

import re
import shutil
import struct
import zlib

import pytest
import pytest_asyncio

from bot.playground.browser import serve_page
from bot.playground.group import SimulatedGroup
from bot.playground.group_page import GroupPage
from bot.playground.objects import Member
from bot.playground.telegram import Telegram, add_bot
from tests.bot.conftest import CARD, FRIENDS, PEOPLE, FakeSpeaker, Stage
from tests.contrast import CONTRASTS, ENOUGH

playwright = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install -y chromium"),
]
TOKEN = "the-token-of-this-run"  # noqa: S105
SECONDS = 15
LONG = "I would rather walk along the river than sit in that cinema again"


def png(side):
    """Return a white picture."""

    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\xff" * side) * side)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser():
    async with playwright.async_playwright() as started:
        options = {"executable_path": CHROMIUM, "args": ["--no-sandbox"]}
        browser = await started.chromium.launch(**options)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stage(tmp_path_factory, _migrated_once):
    """The real bot in a group of people who have a page."""
    telegram = Telegram(can_read_all=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PTB_TIMEDELTA", "1")
        stage = Stage(telegram, None, FakeSpeaker(), tmp_path_factory.mktemp("page"), CARD)
        chat = telegram.chat(FRIENDS, title="Friends")
        people = [telegram.user(one.ids[0], one.name) for one in PEOPLE]
        chat.members |= {user.id: Member(user) for user in people}
        voices = [one.name for one in PEOPLE if one.imitate == "yes"]
        page = GroupPage(SimulatedGroup(telegram, chat, people, voices))
        async with stage.running(admins=str(people[0].id)), serve_page(page, TOKEN) as address:
            await telegram.wait_for("setMyCommands")
            await add_bot(telegram, chat, people[0], "administrator")
            await telegram.wait_for("sendMessage")
            stage.address, stage.group = f"{address}#{TOKEN}", chat
            yield stage


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def tab(stage, browser):
    """The page, whose console and requests are watched."""
    context = await browser.new_context(viewport={"width": 1100, "height": 800}, locale="en-GB")
    tab = await context.new_page()
    tab.set_default_timeout(1000 * SECONDS)
    tab.problems, tab.requests = [], []
    tab.on("pageerror", lambda error: tab.problems.append(str(error)))
    tab.on("console", lambda line: line.type == "error" and tab.problems.append(line.text))
    tab.on("request", lambda request: tab.requests.append(request.url))
    await tab.goto(stage.address)
    await tab.get_by_text("Hello! I'm ready to talk here.").wait_for()
    yield tab
    await context.close()


async def write(tab, text):
    await tab.get_by_role("textbox", name="Message").fill(text)
    await tab.keyboard.press("Enter")


def last(tab, text):
    """Return the newest message with a text."""
    return tab.get_by_role("article").filter(has_text=text).last


async def choose(tab, name):
    await tab.get_by_role("radio", name=name).check(force=True)
    await tab.get_by_placeholder(f"Write as {name}").wait_for()


class TestTalking:
    async def test_a_friend_is_chosen_and_writes(self, stage, tab):
        await choose(tab, "João")

        await write(tab, LONG)

        message = last(tab, LONG)
        await message.wait_for()
        assert "own" in await message.get_attribute("class")
        sent = stage.telegram.message(stage.group, int(await message.get_attribute("data-id")))
        assert sent["from"]["first_name"] == "João"
        assert "#" not in tab.url

    async def test_as_is_completed_and_answered_in_that_voice(self, tab):
        line = tab.get_by_role("textbox", name="Message")
        await line.press_sequentially("/a")
        assert await tab.get_by_role("option", name="/as").is_visible()
        await line.press("Tab")
        await line.press_sequentially("Hugo Si")
        await line.press("Escape")

        await write(tab, "/as Hugo Silva")

        answer = last(tab, "Hugo Silva number")
        await answer.wait_for()
        voice = answer.locator(".voice")
        assert await voice.inner_text() == " Hugo Silva"
        assert await voice.get_by_alt_text("🎭").evaluate("image => image.naturalWidth") > 0

    async def test_simulate_shows_turns(self, stage, tab):
        stage.speaker.next_voices.extend(["João", "李雷"])

        await write(tab, "/simulate 2")

        await last(tab, "João number").wait_for()
        await last(tab, "李雷 number").wait_for()

    async def test_a_button_chooses_a_voice(self, tab):
        await write(tab, "/as")

        await last(tab, "Whose voice?").get_by_role("button", name="Hugo Sá").click()

        await last(tab, "Hugo Sá number").wait_for()

    async def test_a_guess_is_answered_once_and_solved(self, tab):
        await write(tab, "/guess")
        quiz = last(tab, "Who said it?")
        await quiz.get_by_role("button", name="João").click()

        await quiz.locator(".result").first.wait_for()

        assert await quiz.locator(".right").count() == 1
        assert "chosen by João" in await quiz.inner_text()
        await choose(tab, "李雷")
        assert await quiz.get_by_role("button", name="João", exact=True).is_visible()
        await choose(tab, "João")


class TestMessages:
    async def test_reply_react_edit_and_delete(self, stage, tab):
        await write(tab, "first words")
        await last(tab, "first words").wait_for()

        await self.offer(tab, "first words", "React with 🔥")
        await last(tab, "🔥 1").get_by_role("button", name="🔥 by João").wait_for()
        await self.offer(tab, "first words", "Edit")
        await write(tab, "other words")
        await last(tab, "other words").get_by_text("edited").wait_for()
        await self.offer(tab, "other words", "Reply")
        await write(tab, "me too")
        await last(tab, "me too").get_by_role("button", name="other words").wait_for()
        await self.offer(tab, "me too", "Delete")
        await last(tab, "me too").wait_for(state="detached")

    async def test_a_sticker_and_a_picture(self, tab):
        await tab.get_by_role("button", name="Stickers").click()
        await tab.get_by_role("button", name="Sticker 🎉").click()
        await last(tab, "🎉").wait_for()

        picture = {"name": "sea.png", "mimeType": "image/png", "buffer": png(40)}
        await tab.locator("#text").fill("the sea")
        await tab.locator("#file").set_input_files(picture)

        image = last(tab, "the sea").get_by_role("img", name="the sea")
        await image.wait_for()
        await tab.wait_for_function("image => image.naturalWidth", arg=await image.element_handle())
        assert (await image.get_attribute("src")).startswith("blob:")
        await last(tab, "the sea").get_by_role("button", name="Enlarge").click()
        await tab.locator("#viewer").get_by_role("img", name="the sea").wait_for()
        await tab.keyboard.press("Escape")

    async def test_a_picture_of_the_bot_is_shown(self, stage, tab):
        content = png(30)
        sent = await stage.app.bot.send_photo(stage.group.id, content, caption="who talks when")

        image = tab.locator(f"#message-{sent.message_id} img.picture")
        await tab.wait_for_function("image => image.naturalWidth", arg=await image.element_handle())

    async def test_a_message_stays_text(self, tab):
        evil = '<img src=x onerror="document.title=1"><script>alert(1)</script>'

        await write(tab, evil)

        await last(tab, evil).wait_for()
        assert await tab.locator("#log script, #log img[src=x]").count() == 0

    async def test_typing_is_shown_until_the_message_comes(self, stage, tab):
        bot = stage.app.bot
        await bot.send_chat_action(stage.group.id, "typing")
        await tab.get_by_text("Understudy is typing").wait_for()

        await bot.send_message(stage.group.id, "here I am")

        await last(tab, "here I am").wait_for()
        assert await tab.locator("#typing").inner_text() == ""

    async def test_the_answer_to_a_button_is_shown_to_the_person(self, stage, tab):
        button = {"text": "Nobody", "callback_data": "gone"}
        await stage.app.bot.send_message(
            stage.group.id,
            "an old menu",
            api_kwargs={"reply_markup": {"inline_keyboard": [[button]]}},
        )

        await last(tab, "an old menu").get_by_role("button", name="Nobody").click()

        await tab.get_by_text("This button no longer works").wait_for()

    @staticmethod
    async def offer(tab, text, choice):
        """Open a message's actions with the keyboard, and choose one."""
        await last(tab, text).focus()
        await tab.keyboard.press("Enter")
        await tab.get_by_role("dialog").get_by_role("button", name=choice).click()


class TestPage:
    async def test_the_keyboard_reaches_everything(self, tab):
        await tab.locator("#text").focus()
        await tab.keyboard.press("Shift+Tab")
        assert await focused(tab) == "picture"
        newest = tab.get_by_role("article").last
        await newest.focus()
        await tab.keyboard.press("ArrowUp")
        assert await focused(tab) == await tab.get_by_role("article").nth(-2).get_attribute("id")
        await tab.get_by_role("radio", name="João").focus()
        await tab.keyboard.press("ArrowDown")
        await tab.get_by_placeholder("Write as 李雷").wait_for()

    async def test_a_screen_reader_hears_new_messages_only(self, tab):
        await (
            tab.get_by_role("log", name="Messages")
            .and_(tab.locator("[aria-live=polite]"))
            .wait_for()
        )

        assert await tab.get_by_role("article", name="Understudy,").count() > 1
        named = "elements => elements.every(one => one.ariaLabel || one.textContent.trim())"
        assert await tab.locator("button").evaluate_all(named)

    async def test_the_menu_is_in_the_bots_language(self, tab):
        await tab.get_by_label("Bot’s language").select_option("pt")
        await tab.get_by_role("button", name="Commands").click()

        assert await tab.get_by_role("option", name="/as").is_visible()
        assert "amigo" in await tab.get_by_role("listbox").inner_text()
        await tab.get_by_label("Bot’s language").select_option("en")
        await tab.locator("#text").fill("")

    async def test_a_reload_keeps_the_person_and_the_messages(self, tab):
        await choose(tab, "João")
        await tab.reload()

        await last(tab, "here I am").wait_for()
        assert await tab.get_by_role("radio", name="João").is_checked()

    async def test_without_the_token_it_names_the_terminal(self, stage, browser):
        context = await browser.new_context()
        tab = await context.new_page()
        await tab.goto(stage.address.partition("#")[0])

        await tab.get_by_text("Open the address that the terminal shows").wait_for()
        assert await tab.get_by_role("article").count() == 0
        await context.close()

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    async def test_on_a_phone_nothing_is_cut_off(self, stage, browser, scheme):
        context = await browser.new_context(
            viewport={"width": 360, "height": 640}, color_scheme=scheme, is_mobile=True
        )
        tab = await context.new_page()
        await tab.goto(stage.address)
        await last(tab, "here I am").wait_for()

        assert await tab.evaluate("innerWidth") == 360
        assert await tab.locator("#send").is_visible()
        assert await tab.get_by_text("Simulated group ·").is_visible()
        assert [one for one in await tab.evaluate(CONTRASTS) if one[0] < ENOUGH] == []
        page = await tab.evaluate("getComputedStyle(document.body).backgroundColor")
        red = int(re.search(r"\d+", page)[0])
        assert (red > 128) == (scheme == "light")
        await context.close()

    async def test_another_page_can_neither_act_nor_read(self, stage, browser):
        """A page of another origin tries it in the same browser."""
        context = await browser.new_context()
        tab = await context.new_page()
        url = stage.address.partition("#")[0]
        before = dict(stage.telegram.world.messages)
        await tab.goto(url.replace("127.0.0.1", "localhost"))  # another origin, also in loopback

        failed = await tab.evaluate(
            """async ([url, token]) => {
                const headers = {
                    Authorization: `Bearer ${token}`, "Content-Type": "application/json",
                };
                const body = '{"person": 13, "text": "hi"}';
                const outcomes = [];
                for (const options of [{headers}, {}, {mode: "no-cors"}]) {
                    const call = fetch(`${url}api/say`, {method: "POST", body, ...options});
                    outcomes.push(await call.then(() => "sent", () => "failed"));
                }
                return outcomes;
            }""",
            [url, TOKEN],
        )

        assert failed == ["failed", "failed", "failed"]
        assert stage.telegram.world.messages == before
        await context.close()

    async def test_nothing_was_asked_elsewhere_and_nothing_went_wrong(self, stage, tab):
        host = stage.address.partition("#")[0]

        assert tab.problems == []
        assert [url for url in tab.requests if not url.startswith((host, "blob:"))] == []


async def focused(tab):
    return await tab.evaluate("document.activeElement.id")
