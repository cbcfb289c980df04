"""Find private links and e-mail addresses."""

import re
from collections.abc import Iterator
from itertools import pairwise

from model.redaction.spans import MASK, Span

_URL = re.compile(
    rf"[a-zA-Z](?<![a-zA-Z][a-zA-Z])[a-zA-Z+.-]{{1,20}}://[^\s{MASK}<>\"]+"
    rf"|(?<![\w.@/-])(?:[\w-]{{1,63}}\.){{1,4}}[a-zA-Z]{{2,24}}[/?][^\s{MASK}<>\"]+",
)
_PIECES = re.compile(
    r"(?:[\w+.-]+://)?(?:([^/?#@:\s]*:(?!\d{1,5}[/?#])[^\s@]*(?:@[^\s@]*)?)@(?=\w))?"
    r"([^/?#@]*)[/?#]?(.*)",
    re.DOTALL,
)
_TRAILING = ".,;:!?)]}'»”"

_PRIVATE_SITES = re.compile(
    r"(?:[\w-]+\.)*zoom\.us/(?:j|s|w|my|wc)/|meet\.google\.com/\w|teams\.(?:microsoft|live)\.com/l?"
    r"|(?:[\w-]+\.)*webex\.com/|meet\.jit\.si/|whereby\.com/|telemost\.yandex\.\w+/"
    r"|(?:t|telegram)\.me/(?:\+|joinchat/|c/)|chat\.whatsapp\.com/|(?:wa\.me|api\.whatsapp\.com)/"
    r"|discord\.gg/|discord(?:app)?\.com/(?:invite|api/webhooks)/|hooks\.slack\.com/"
    r"|calendar\.google\.com/calendar/|outlook\.(?:office(?:365)?|live)\.com/(?:owa/)?calendar/"
    r"|[\w-]{0,20}caldav\.icloud\.com/|[^/]+/[^?#]{0,2000}\.ics(?:[?#]|$)"
    r"|api\.telegram\.org/(?:file/)?bot|(?:docs|drive|sheets|forms)\.google\.com/|forms\.gle/"
    r"|(?:photos|maps)\.app\.goo\.gl/|goo\.gl/(?:maps|photos|forms)|photos\.google\.com/"
    r"|(?:www\.)?dropbox\.com/(?:s|sh|scl|l|t)/|1drv\.ms/|onedrive\.live\.com/"
    r"|[\w-]+\.sharepoint\.com/|we\.tl/|wetransfer\.com/downloads|(?:www\.)?icloud\.com/"
    r"|mega\.nz/|disk\.yandex\.\w+/|yadi\.sk/|(?:www\.)?figma\.com/(?:file|design|proto)/"
    r"|maps\.google\.[\w.]+/|(?:www\.)?google\.[a-z.]+/maps|maps\.apple\.com/|(?:www\.)?waze\.com/"
    r"|yandex\.\w+/maps|(?:www\.)?openstreetmap\.org/.*map=|2gis\.\w+/",
    re.IGNORECASE,
)
_PRIVATE_FIELD = re.compile(
    r"(?:^|[?&#;/])(?:(?:\w+[-_])?(?:token|key|secret|auth|sig|signature|session|password|code)"
    r"|api_?key|pass|passwd|pwd|session_?id|sid|jsessionid|phpsessid|otp|invite|e-?mail|phone|tel"
    r"|rlkey|x-amz-\w+|lat|lon|ll)=[^&\s]|[\w.+-]@[\w-]+\.\w|@-?\d+\.\d+,",
    re.IGNORECASE,
)
_WORD = re.compile(r"[\w-]{12,}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{20,}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$")
_PUBLISHERS = re.compile(
    r"(?:[\w-]+\.)*(?:youtube|youtu|wikipedia|wikimedia|spotify|github|gitlab|twitter|x|instagram"
    r"|reddit|redd|imgur|giphy|tenor|soundcloud|apple|twitch|tiktok|amazon|bbc|medium|imdb|steam\w*"
    r"|stackoverflow|pinterest|vk|ebay|archive)\.(?:com?|org|be|tv|it|[a-z]{2})(?:\.\w\w)?$",
    re.IGNORECASE,
)
"""Sites whose URLs contain random but public ids; other private fields are still redacted."""
_MIN_CHANGES = 3

_EMAIL = re.compile(
    rf"(?<![\w.+%{MASK}-])[\w.+%-]{{1,64}}@(?:[\w-]{{1,63}}\.){{1,4}}[^\W\d_]{{2,24}}"
)
_SPELLED_EMAIL = re.compile(
    r"(?<![\w.+-])[\w.+-]{1,64}\s?(?:[(\[{]\s?(?:at|arroba|arobase|собака)\s?[)\]}]"
    r"|\s(?:arroba|arobase|собака)\s|\sat(?=\s[\w-]{1,63}\sdot\s))\s?[\w-]{1,63}\s?"
    r"(?:[(\[{]\s?(?:dot|ponto|punto|punkt|point|точка)\s?[)\]}]|\s(?:dot|ponto|punto|punkt|point"
    r"|точка)\s|\.)\s?[^\W\d_]{2,24}(?!\w)",
    re.IGNORECASE,
)
_AT_MAIL_HOST = re.compile(
    r"\sat\s(?:gmail|googlemail|hotmail|outlook|live|msn|yahoo|ymail|rocketmail|icloud"
    r"|me|mac|aol|gmx|web|proton(?:mail)?|pm|tutanota|fastmail|zoho|mail|yandex|ya|rambler|bk|inbox"
    r"|list|ukr|seznam|wp|o2|onet|interia|libero|orange|free|laposte|sapo|uol|bol|terra|qq|163|126"
    r"|naver|daum|rediffmail)\.(?:[a-z]{2,3}\.)?[a-z]{2,3}(?![\w-]|\.\w)",
    re.IGNORECASE,
)
"""A mail provider after "at": the word before it is a name, unless it is one of these."""
_LAST_WORD = re.compile(r"(?<![\w.+-])[\w.+-]{2,64}\Z")
_NO_NAME = re.compile(
    r"account|address|e?mail|here|in|is|it|look|me|not|on|up|us|was", re.IGNORECASE
)


def find_private_links(text: str) -> Iterator[Span]:
    """Yield the private parts of links: a login before the host, or everything after the host."""
    for start, end in find_links(text):
        if not (pieces := _PIECES.match(text, start, end)):
            continue
        login, host, rest = pieces.groups()
        if login:
            yield pieces.span(1)
        after_host = text[pieces.end(2) : end]
        if rest and (
            _PRIVATE_SITES.match(host + after_host)
            or _PRIVATE_FIELD.search(after_host)
            or (not _PUBLISHERS.match(host) and any(map(_is_random, _WORD.findall(rest))))
        ):
            yield pieces.span(3)


def find_links(text: str) -> Iterator[Span]:
    """Yield every link as a whole, so that no other rule searches in it."""
    for match in _URL.finditer(text):
        yield match.start(), match.start() + max(len(match[0].rstrip(_TRAILING)), 1)


def find_emails(text: str) -> Iterator[Span]:
    """Yield e-mail addresses, including those spelled `dave (at) example (dot) com`."""
    for pattern in (_EMAIL, _SPELLED_EMAIL):
        for match in pattern.finditer(text):
            yield match.span()
    for host in _AT_MAIL_HOST.finditer(text):
        name = _LAST_WORD.search(text, max(0, host.start() - 64), host.start())
        if name and not _NO_NAME.fullmatch(name[0]):
            yield name.start(), host.end()


def _is_random(word: str) -> bool:
    """Whether a word looks generated: hexadecimal, or upper case, lower case and digits mixed."""
    if _HEX.match(word):
        return any(map(str.isdigit, word))
    if word.islower() or word.isupper():
        return False
    return sum(a.isdigit() != b.isdigit() for a, b in pairwise(word)) >= _MIN_CHANGES
