"""Print the path of an `/as` from update to reply: modules in order, and write transactions.

`python -m benchmarks.trace_as` runs the bot at a loopback Telegram. A fake model replaces
`model.speaking`. Functions that only background jobs call do not appear.
"""

import asyncio
import sys
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine, event

from bot.playground.telegram import Telegram
from bot.run import build, started
from bot.transport.polling import ALLOWED_UPDATES
from model.artifacts.artifact import Artifact
from tests.bot.conftest import CARD, FRIENDS, FakeModels, FakeSpeaker, Stage, until
from tests.telegram_server import serve

ROOT = Path(__file__).resolve().parents[1]
IGNORED = ("bot/playground/", "bot/background.py", "bot/services/supervisor.py")
HOUR = 3600.0
WRITES = ("INSERT", "UPDATE", "DELETE")


@dataclass
class Trace:
    """The modules whose functions were called, in order, and the write transactions."""

    modules: list[str] = field(default_factory=list)
    transactions: list[list[str]] = field(default_factory=list)

    @property
    def own(self):
        """The write transactions that do not concern the inbox."""
        return [one for one in self.transactions if not any(" inbox" in line for line in one)]


class Recorder:
    """Records calls in all threads, and transactions of all engines, while it is open."""

    def __init__(self):
        self.trace = None
        self._statements = {}
        threading.setprofile(self._on_call)  # for threads that start later
        event.listen(Engine, "begin", lambda connection: self._statements.pop(connection, None))
        event.listen(Engine, "before_cursor_execute", self._on_statement)
        event.listen(Engine, "commit", self._on_commit)

    @contextmanager
    def recording(self):
        self.trace = Trace()
        sys.setprofile(self._on_call)
        try:
            yield self.trace
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
            self.trace = None

    def _on_call(self, frame, what, _):
        if what != "call" or self.trace is None:
            return
        path = frame.f_code.co_filename
        if path.startswith((f"{ROOT}/bot/", f"{ROOT}/model/")):
            module = path.removeprefix(f"{ROOT}/")
            if module not in self.trace.modules and not module.startswith(IGNORED):
                self.trace.modules.append(module)

    def _on_statement(self, connection, _cursor, statement, *_):
        if statement.startswith(WRITES):
            brief = " ".join(statement.split()[:3]).removesuffix(" SET").split("(")[0]
            self._statements.setdefault(connection, []).append(brief)

    def _on_commit(self, connection):
        statements = self._statements.pop(connection, None)
        if statements and self.trace is not None:
            self.trace.transactions.append(statements)


async def trace_command(folder):
    """Return the trace of `/as` in a group that the bot knows already."""
    recorder = Recorder()
    telegram = Telegram(can_read_all=True)
    async with serve(telegram) as url:
        stage = Stage(telegram, url, FakeSpeaker(), folder, CARD)
        group = telegram.chat(FRIENDS, title="Friends")
        joao, hugo = telegram.user(13, "João"), telegram.user(11, "Hugo", "Silva")
        models = FakeModels(Artifact(folder / "0001-abcdef01", CARD))
        app = build(
            stage.settings(),
            models,
            lambda _: stage.speaker,
            lambda _: None,
            model_check_seconds=HOUR,
        )

        async def handled():
            return not (await app.inbox.count_open()).waiting

        async with started(app):
            await app.updater.start_polling(allowed_updates=ALLOWED_UPDATES)
            await telegram.say(group, joao, "I bring the wine, call +351 912 345 678")
            await stage.answer(group, hugo, "/as João")
            await until(handled)
            await asyncio.sleep(1)  # the background jobs run once at the start
            with recorder.recording() as trace:
                await stage.answer(group, hugo, "/as Hugo Sá what about Friday?")
                await until(handled)
            await app.updater.stop()
    return trace


def describe(trace):
    lines = []
    for package in ("bot", "model"):
        modules = [one for one in trace.modules if one.startswith(f"{package}/")]
        lines.append(f"{len(modules)} modules of {package}, in order of the first call:")
        lines += [f"  {one}" for one in modules]
    lines.append(f"{len(trace.transactions)} write transactions:")
    for statements in trace.transactions:
        owner = "" if statements in trace.own else "   (inbox)"
        lines.append(f"  {'; '.join(statements)}{owner}")
    return "\n".join(lines)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(describe(asyncio.run(trace_command(Path(folder)))))  # noqa: T201  the output
