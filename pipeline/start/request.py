"""The options of `understudy start`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model.options import option
from pipeline.dataset.options import CHAT, MIN_MESSAGES


@dataclass(frozen=True, slots=True)
class NamedConsent:
    """Names passed as options: who agreed, who is never imitated, whose messages are excluded."""

    agreed: tuple[str, ...] = option((), "Person who agreed to be imitated; repeatable")
    never: tuple[str, ...] = option((), "Person who must not be imitated; repeatable")
    excluded: tuple[str, ...] = option(
        (), "Person whose messages must not be used; repeatable", name="exclude"
    )

    @property
    def is_given(self) -> bool:
        """Whether at least one person was named."""
        return bool(self.agreed or self.never or self.excluded)


@dataclass(frozen=True, slots=True)
class StartRequest:
    """The options of `understudy start`; None and empty values are asked for."""

    root: Path
    export: Path | None = option(None, "Export: a folder or its result.json")
    chat: str | None = option(None, CHAT)
    consent: NamedConsent = field(default_factory=NamedConsent)
    min_messages: int = option(
        0, MIN_MESSAGES, default_text="200, or lower if fewer than two reach it"
    )
    base: str | None = option(None, "Base model, as for train")
    accepts_terms: bool = False
    minutes: float | None = None
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    token: str | None = option(
        None, "The bot's token; BOT_TOKEN in the environment is safer", metavar="TOKEN"
    )
    admin: int | None = option(None, "Your Telegram user id", least=1)
    skip_bot: bool = option(False, "Stop before setting up the bot")
    restart: bool = option(False, "Forget earlier answers, except roster.toml")
