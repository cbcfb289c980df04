"""The bot's own texts, in English and Portuguese."""

from collections.abc import Mapping
from types import MappingProxyType

from bot.texts.en import EN as EN
from bot.texts.en import Wording
from bot.texts.pt import PT
from bot.texts.pt import PT_BR as PT_BR

LANGUAGES: Mapping[str, Wording] = MappingProxyType({"en": EN, "pt": PT})


def wording(language_code: str | None) -> Wording:
    """Return the texts for a language code such as `pt-br`; English if it is unknown."""
    if (language_code or "").lower() == "pt-br":
        return PT_BR
    return LANGUAGES.get((language_code or "").split("-")[0].lower(), EN)
