"""What `understudy-bot check` looks at: what is wrong with a bot's set-up and how to mend it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum

from bot.access import access_of
from bot.app import who_am_i
from bot.settings import Settings
from bot.store.version import Version, complaint, database_file, version_of
from bot.texts import EN
from model.errors import UnderstudyError
from model.registry import Registry


class Verdict(Enum):
    """Whether a thing is as it should be; NOTE where only a person can know."""

    OK = "ok"
    NOTE = "note"
    WRONG = "WRONG"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, how it is, and what there is to say."""

    about: str
    verdict: Verdict
    says: str

    def __str__(self) -> str:
        return f"{self.verdict.value:<5}  {self.about}: {self.says}"


async def findings(settings: Settings) -> list[Finding]:
    """Look at everything; nothing is made or changed."""
    telegram = await _looked_at("BOT_TOKEN", _telegram, settings)
    return [
        Finding("settings", Verdict.OK, "all can be read"),
        *telegram,
        *await _looked_at("database", _database, settings),
        *await _looked_at("model", _model, settings),
        _admins(settings),
    ]


async def _looked_at(
    about: str, look: Callable[[Settings], Awaitable[list[Finding]]], settings: Settings
) -> list[Finding]:
    try:
        return await look(settings)
    except UnderstudyError as error:
        return [Finding(about, Verdict.WRONG, str(error))]


async def _telegram(settings: Settings) -> list[Finding]:
    """Look at the token and at privacy mode, which is right for a bot that is an admin."""
    me = await who_am_i(settings)
    privacy = Finding("privacy mode", Verdict.OK, "off, the bot hears all that is said")
    if not me.reads_all:
        privacy = Finding("privacy mode", Verdict.NOTE, EN.privacy_is_on)
    return [Finding("BOT_TOKEN", Verdict.OK, f"it is @{me.username}'s"), privacy]


async def _database(settings: Settings) -> list[Finding]:
    path = database_file(settings.database_url)
    version = await version_of(settings.database_url)
    if version is Version.MISSING:
        says = f"{path} is not there yet, `understudy-bot run` makes it"
        return [Finding("database", Verdict.OK, says)]
    if version is Version.CURRENT:
        return [Finding("database", Verdict.OK, f"{path} is up to date")]
    return [Finding("database", Verdict.WRONG, complaint(settings.database_url, version))]


async def _model(settings: Settings) -> list[Finding]:
    artifact = Registry(settings.models_dir).open("current")
    card = artifact.card
    access = access_of(card, card.roster, settings.admins, settings.consent)
    names = ", ".join(person.name for person in access.voices)
    voices = Finding("voices", Verdict.OK, names)
    if not names:
        voices = Finding("voices", Verdict.WRONG, EN.no_voices)
    return [Finding("model", Verdict.OK, f"{artifact.path.name} of {card.base}"), voices]


def _admins(settings: Settings) -> Finding:
    if settings.admins:
        says = ", ".join(map(str, sorted(settings.admins)))
        return Finding("ADMINS", Verdict.OK, says)
    says = "nobody yet: write /start to the bot in private, it answers with the line for .env"
    return Finding("ADMINS", Verdict.WRONG, says)
