"""What `understudy-bot check` looks at: what is wrong with a bot's set-up and how to mend it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bot import texts
from bot.access import access_of
from bot.app import who_am_i
from bot.settings import Settings
from bot.store.database import Version, complaint, database_file, version_of
from model.errors import UnderstudyError
from model.registry import Registry


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, whether it is as it should be, and what there is to say."""

    about: str
    is_good: bool
    says: str

    def __str__(self) -> str:
        return f"{'ok   ' if self.is_good else 'WRONG'}  {self.about}: {self.says}"


async def findings(settings: Settings) -> list[Finding]:
    """Look at everything; nothing is made or changed."""
    telegram = await _looked_at("BOT_TOKEN", _telegram, settings)
    return [
        Finding("settings", is_good=True, says="all can be read"),
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
        return [Finding(about, is_good=False, says=str(error))]


async def _telegram(settings: Settings) -> list[Finding]:
    me = await who_am_i(settings)
    privacy = "off, the bot hears all that is said" if me.reads_all else texts.PRIVACY_IS_ON
    return [
        Finding("BOT_TOKEN", is_good=True, says=f"it is @{me.username}'s"),
        Finding("privacy mode", me.reads_all, privacy),
    ]


async def _database(settings: Settings) -> list[Finding]:
    path = database_file(settings.database_url)
    version = await version_of(settings.database_url)
    if version is Version.MISSING:
        says = f"{path} is not there yet, `understudy-bot run` makes it"
        return [Finding("database", is_good=True, says=says)]
    if version is Version.CURRENT:
        return [Finding("database", is_good=True, says=f"{path} is up to date")]
    return [Finding("database", is_good=False, says=complaint(settings.database_url, version))]


async def _model(settings: Settings) -> list[Finding]:
    artifact = Registry(settings.models_dir).open("current")
    card = artifact.card
    access = access_of(card, card.roster, settings.admins, settings.consent)
    names = ", ".join(person.name for person in access.voices)
    found = Finding("model", is_good=True, says=f"{artifact.path.name} of {card.base}")
    voices = Finding("voices", is_good=bool(names), says=names or texts.NO_VOICES)
    return [found, voices]


def _admins(settings: Settings) -> Finding:
    if settings.admins:
        says = ", ".join(map(str, sorted(settings.admins)))
        return Finding("ADMINS", is_good=True, says=says)
    says = "nobody yet: write /start to the bot in private, it answers with the line for .env"
    return Finding("ADMINS", is_good=False, says=says)
