"""Everything the bot says in its own name, in the language of whoever it answers."""

from collections.abc import Mapping
from types import MappingProxyType

from bot.texts.en import EN as EN
from bot.texts.pt import PT
from bot.texts.wording import Wording

LANGUAGES: Mapping[str, Wording] = MappingProxyType({"en": EN, "pt": PT})


def wording(language_code: str | None) -> Wording:
    """Return the texts in a user's language, such as `pt-br`; in English where there are none."""
    return LANGUAGES.get((language_code or "").split("-")[0].lower(), EN)
