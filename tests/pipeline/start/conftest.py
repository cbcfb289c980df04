"""Answers typed in advance, and a Bot API on loopback."""

import io
from collections import deque

import pytest
from rich.console import Console

from pipeline.start.asking import Asker
from tests.pipeline.start import fake_telegram


class Script:
    """Types these answers one after another, then ends the input; remembers the questions."""

    def __init__(self, *answers, takes_defaults=False):
        self.left, self.questions = deque(answers), []
        self.console = Console(file=io.StringIO(), width=80)
        self.asker = Asker(self.console, takes_defaults, self.read, self.read)

    def read(self, question):
        self.questions.append(question.strip())
        if not self.left:
            raise EOFError
        answer = self.left.popleft()
        self.console.print(f"{question}{answer}", markup=False, highlight=False)
        return answer

    @property
    def said(self):
        return self.console.file.getvalue()


@pytest.fixture
def script():
    return Script


@pytest.fixture
def telegram(monkeypatch):
    for name in ("BOT_TOKEN", "ADMINS", "MODELS_DIR"):
        monkeypatch.delenv(name, raising=False)
    with fake_telegram.running() as server:
        monkeypatch.setenv("TELEGRAM_API_URL", server.url)
        yield server
