"""Name the languages of a chat."""

from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache

from pipeline.export.merging import Spool

LANGUAGES = {
    "af": "Afrikaans", "am": "Amharic", "ar": "Arabic", "az": "Azerbaijani", "be": "Belarusian",
    "bg": "Bulgarian", "bn": "Bengali", "ca": "Catalan", "cs": "Czech", "cy": "Welsh",
    "da": "Danish", "de": "German", "el": "Greek", "en": "English", "es": "Spanish",
    "et": "Estonian", "eu": "Basque", "fa": "Persian", "fi": "Finnish", "fr": "French",
    "ga": "Irish", "gl": "Galician", "gu": "Gujarati", "he": "Hebrew", "hi": "Hindi",
    "hr": "Croatian", "hu": "Hungarian", "hy": "Armenian", "id": "Indonesian", "is": "Icelandic",
    "it": "Italian", "ja": "Japanese", "ka": "Georgian", "kk": "Kazakh", "km": "Khmer",
    "kn": "Kannada", "ko": "Korean", "lt": "Lithuanian", "lv": "Latvian", "mk": "Macedonian",
    "ml": "Malayalam", "mn": "Mongolian", "mr": "Marathi", "ms": "Malay", "my": "Burmese",
    "ne": "Nepali", "nl": "Dutch", "no": "Norwegian", "pa": "Punjabi", "pl": "Polish",
    "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "si": "Sinhala", "sk": "Slovak",
    "sl": "Slovenian", "sq": "Albanian", "sr": "Serbian", "sv": "Swedish", "sw": "Swahili",
    "ta": "Tamil", "te": "Telugu", "th": "Thai", "tl": "Tagalog", "tr": "Turkish",
    "uk": "Ukrainian", "ur": "Urdu", "uz": "Uzbek", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip
"""The languages that are distinguished, by ISO 639 code.

A rarer language is reported as a related one.
"""

_BLOCK = 20
"""Messages that are classified together: a single one is often too short to be told."""
_MAX_BLOCKS = 30
_LAST_MESSAGES = 5_000
_MIN_SHARE = 0.1
_MIN_LETTERS = 200


def find_languages(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the codes of a chat's languages, the most frequent first; empty if it is too short.

    A language counts if a tenth of the chat is in it. Messages of very long chats are sampled.
    """
    written = [text for text in texts if any(map(str.isalpha, text))]
    if sum(map(len, written)) < _MIN_LETTERS:
        return ()
    blocks = [" ".join(written[start : start + _BLOCK]) for start in range(0, len(written), _BLOCK)]
    sampled = blocks[:: -(-len(blocks) // _MAX_BLOCKS)]
    classify = _load_classifier()
    counts = Counter(classify(block)[0] for block in sampled)
    return tuple(code for code, n in counts.most_common() if n >= _MIN_SHARE * len(sampled))


def find_chat_languages(spool: Spool, chat: int) -> tuple[str, ...]:
    """Return the codes of the languages of a chat's last messages, see `find_languages`."""
    start = spool.find_start(chat, _LAST_MESSAGES)
    return find_languages(message.text for message in spool.messages(chat, start))


def name_languages(codes: Iterable[str]) -> str:
    """Return the names of languages: Portuguese, English."""
    return ", ".join(LANGUAGES.get(code, code) for code in codes)


@cache
def _load_classifier() -> Callable[[str], tuple[str, float]]:
    import py3langid

    py3langid.set_languages(list(LANGUAGES))
    found: Callable[[str], tuple[str, float]] = py3langid.classify
    return found
