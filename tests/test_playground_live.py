"""The playground's program, with the real bot and a really trained model."""

import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

import bot.run
from bot.errors import BotNotRunning
from bot.playground.browser import play_in_browser
from model.chat.eligibility import parse_voice_header
from tests.habits import HABITS, IDS

# The other family answers in test_simulated_month.py.
pytestmark = pytest.mark.parametrize("trained", ["decoder-only"], indirect=True)
SECONDS = 30


@asynccontextmanager
async def playground(trained, folder, *options):
    """Start the program; yield it and the address that it prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", "playground", "--models-dir", str(trained.root), *options),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(SECONDS):
            while "http://" not in (line := (await process.stdout.readline()).decode()):
                assert process.returncode is None
        yield process, line.strip()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_the_real_bot_answers_in_the_browser(trained, tmp_path):
    lines = tmp_path / "lines.txt"
    yesterday, now = "Tiago: good night", f"Tiago: hello there {HABITS['Tiago']}\nZoe: hello"
    lines.write_text(f"{yesterday}\n\n{now}\n", "utf-8")
    async with playground(trained, tmp_path, "--port", "0", "--opening", lines) as started:
        process, address = started
        url, _, token = address.partition("#")
        headers = {
            "Authorization": f"Bearer {token}",
            "Origin": url.rstrip("/"),
            "Content-Type": "application/json",
        }
        async with (
            httpx.AsyncClient(headers=headers, timeout=SECONDS) as client,
            client.stream("POST", f"{url}api/events", json={}) as stream,
        ):
            events = (
                json.loads(line.removeprefix("data: "))
                async for line in stream.aiter_lines()
                if line.startswith("data: ")
            )
            group = await anext(events)
            said = {"person": IDS["Tiago"], "text": "/as Hugo"}
            assert (await client.post(f"{url}api/say", json=said)).status_code == 200
            async for event in events:
                if event["kind"] == "message" and event["message"]["from"]["is_bot"]:
                    voice, words = parse_voice_header(event["message"]["text"])
                    break
            process.send_signal(signal.SIGINT)
            last = [event["kind"] async for event in events][-1]

        texts = [message.get("text") for message in group["messages"]]
        assert texts[-3:] == ["good night", f"hello there {HABITS['Tiago']}", "hello"]
        before, first, _ = (message["date"] for message in group["messages"][-3:])
        assert first - before >= 86_400
        assert "Zoe" in [person["name"] for person in group["people"]]
        assert urlsplit(url).hostname == "127.0.0.1"
        assert (voice, HABITS["Hugo"] in words) == ("Hugo", True)
        assert (last, await process.wait()) == ("stopped", 0)
    assert [file.name for file in tmp_path.iterdir()] == ["lines.txt"]


async def test_a_bot_that_ends_ends_the_playground(trained, monkeypatch):
    async def end(*_):
        raise BotNotRunning("the bot has ended")

    monkeypatch.setattr(bot.run, "_wait_for_end", end)

    with pytest.raises(BotNotRunning, match="has ended"):
        await play_in_browser(trained.open("current"), trained, [], 0, lambda *_: None)
