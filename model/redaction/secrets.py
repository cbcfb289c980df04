"""Find passwords, keys and one-time codes."""

import binascii
import re
import unicodedata
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from functools import cache

from model.redaction import words
from model.redaction.key_formats import KEY_FORMATS
from model.redaction.spans import MASK, Span

_KEY = re.compile(
    r"(?<![\w-])(?:(?:AKIA|ASIA)[A-Z0-9]{12,20}|gh[opusr]_\w{20,255}|github_pat_\w{20,255}"
    r"|sk-[\w-]{20,255}|[sr]k_(?:test|live)_\w{16,255}|hf_\w{20,64}"
    r"|gl(?:pat|dt|rt)-[\w-]{16,64}|AIza[\w-]{30,40}|npm_\w{30,50}"
    r"|pypi-[\w-]{30,255}|SG\.[\w-]{16,40}\.[\w-]{30,60}|\d{6,12}:[\w-]{34,40}"
    r"|[MNO][\w-]{23,27}\.[\w-]{6}\.[\w-]{27,40}|eyJ[\w-]{8,2048}\.[\w-]{8,4096}(?:\.[\w-]{0,1024})?"
    r"|(?=[a-zA-Z/+]{0,39}\d)(?=[a-z\d/+]{0,39}[A-Z])(?=[A-Z\d/+]{0,39}[a-z])[A-Za-z\d/+]{40})"
    r"(?![\w-])",
)
"""Shorter forms than those of `KEY_FORMATS`, and words of 40 characters such as AWS secrets."""
_RANDOM = re.compile(r"(?<![\w/+.-])[\w/+-]{30,255}+={0,2}(?!\w)", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_HEX = re.compile(r"[0-9a-fA-F]+")
_HEX_KEY = 64  # digits; hashes of 32 or 40 digits name files and commits
_MIN_CHANGES = 6
_MIN_CHANGES_MIXED = 4  # in a word with small letters and capitals
_BASIC = re.compile(r"(?<!\w)basic\s{1,4}([\w+/-]{8,1024}={0,2})", re.IGNORECASE | re.ASCII)
_BLOCK_START = re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----")
_BLOCK_END = re.compile(r"-----END [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----")

_JOINED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3001-\u9fff\uac00-\ud7a3"
"""Scripts that put no space between words: Thai, Lao, Burmese, Khmer, Chinese and Japanese.

Korean puts its particles behind a word without a space.
"""
_SECRET = rf"[^\s{MASK}\[\]{_JOINED}]"
_WORD = rf"[^\s\d{MASK}\[\]:=→.,;!?()\"«»/]"
_SYMBOL = r"#$%&*+=^~@_!"
_GENERATED = rf"(?={_SECRET}{{0,63}}\d|{_SECRET}{{1,62}}[{_SYMBOL}]\w)"
_GAP = rf"(?P<suffix>{_WORD}{{0,24}})(?P<gap>(?:\s{_WORD}{{1,16}}){{0,5}}?)"
_SIGN = r"[\"'`]?\s?[:=→]{1,3}\s{0,2}|\s[-–—]\s{1,2}"
_QUOTE = r"[\"'«“`(]?"

_AFTER_PASSWORD = re.compile(
    rf"{_GAP}(?:(?P<sign>{_SIGN})|(?:\s{{1,2}}|(?<=[{_JOINED}])){_GENERATED})"
    rf"{_QUOTE}(?P<secret>{_SECRET}{{4,64}})(?P<last>\s*$)?",
    re.MULTILINE,
)
_BEFORE_PASSWORD = re.compile(
    rf"(?<!{_SECRET})(?P<secret>{_SECRET}{{6,64}})"
    rf"(?P<gap>\s?{_WORD}{{0,12}}(?:\s{_WORD}{{1,12}}){{0,3}}\s?)\Z",
)
_AFTER_CODE = re.compile(
    rf"{_GAP}(?P<sign>{_SIGN}|\s{{1,2}}|(?<=[{_JOINED}]))(?P<secret>(?:G-)?[a-zA-Zа-я]?\d\d{{1,7}}"
    rf"(?:[ -]\d{{3,4}})?(?:[a-zа-яA-Z]\d{{1,4}})?#?)(?![.,:/%]?(?![{_JOINED}])\w)(?P<last>\W*$)?",
    re.MULTILINE,
)
_BEFORE_CODE = re.compile(
    r"(?<![\w.,:/+-])(?P<secret>(?:G-)?\d{3}[ -]?\d{1,5})"
    rf"(?P<gap>\s?{_WORD}{{0,12}}(?:\s{_WORD}{{1,20}}){{0,4}}\s?)\Z",
)
_AFTER_KEY = re.compile(
    rf"{_GAP}(?P<sign>{_SIGN}|\s{{1,2}}){_QUOTE}(?P<secret>(?=[^\d\s]{{0,40}}\d)[\w./+-]{{12,255}}={{0,2}})",
    re.ASCII,
)
_CODE_FIRST = re.compile(
    r"(?<![\w.,:/+-])((?:G-)?\d{3}[ -]?\d{1,5}) to (?:verify|confirm|log ?in)(?!\w)", re.IGNORECASE
)
_AFTER_LOGIN = re.compile(rf"{MASK}{MASK}\s?[/:|]\s?([^\s/{MASK}\[\]]{{5,64}})(?!\S)")
_BEFORE_SECRET = re.compile(
    rf"[:=→](?=[\"'`]?\s{{0,2}}{_QUOTE}{_SECRET}{{4}})|-(?<=\s-)\s|–(?<=\s–)\s|—(?<=\s—)\s|{MASK}"
)
_ODD_CHARACTER = re.compile(
    rf"[\d{_SYMBOL}](?:(?<=\S\S\S.)|(?<=\S\S.)(?=\S)|(?<=\S.)(?=\S\S)|(?=\S{{3}}))", re.DOTALL
)
_ODD_WORD = re.compile(
    rf"\d{{5}}|(?<!{_SECRET})(?:(?={_SECRET}{{0,63}}\d)(?={_SECRET}{{0,63}}[^\W\d_])"
    rf"|(?={_SECRET}{{1,62}}[{_SYMBOL}]\w)){_SECRET}{{4}}",
)
_MAY_BE_CODE = re.compile(r"\d(?:\d\d\d|\d?[ -]\d|#)|[cC](?:[vV][vVcC]|rypto)|ziffer")
"""A text without these needs no search for words in all languages, which is much slower."""
_MAX_BEFORE = 64  # characters before a word for a password that may contain it

_IS = frozenset(
    (
        "is", "are", "was", "now", "é", "eh", "e", "es", "era", "agora", "ahora", "ist", "lautet",
        "est", "c'est", "это", "теперь", "це", "тепер", "è", "ora", "adesso", "het", "to", "jest",
        "är", "er", "on", "je", "este", "е", "είναι", "bu", "benim", "هي", "هو", "היא", "הוא",
        "זה", "זאת", "است", "هست", "है", "मेरा", "आपका", "내", "là", "adalah", "itu", "yra", "ir",
        "az", "a", "-", "–", "—",
    )
)  # fmt: skip
"""Forms of "to be" in the present and what stands in their place, such as a dash or "my"."""
_IS_JOINED = ("是", "为", "為", "は", "が", "คือ", "เป็น", "는", "은", "이", "가")
_YEAR_OR_ROUND = re.compile(r"(?:19|20)\d\d|\d\d?00+")
_DIGIT = re.compile(r"\d")
_CHANGE = re.compile(r"(?<=\d)[^\W\d_]|(?<=[^\W\d_])\d")
_LETTER = re.compile(r"[^\W\d_]")
_INNER_SYMBOL = re.compile(r"\w[^\w\s'’.,/…-]+\w|_|[#$%&*+=^~|\\{}<>]")
_MEASURE = re.compile(r"\W*\d+(?:[.,:/-]\d+)*[^\W\d_]{0,3}\W*")
"""A number with a unit such as 10am, 5GB, 2nd."""
_MIN_DIGITS = 4
_MOST_BETWEEN = 2  # words, as in "код от двери 4821"
_STRONG = 6  # characters

_MORE_PASSWORDS = (
    "passcode", "passwd", "pswd", "pwd", "kennwort", "kodeord", "contrasena", "palavra passe",
    "parola d'ordine", "пароля", "пассворд", "шифра", "šifra", "κωδικ", "kata sandi",
    "كلمة السر", "كلمة سر", "كلمة مرور", "الرقم السري", "رقمي السري", "باسورد", "باسوورد",
    "رمز", "پسورد", "کلمه عبور", "סיסמא", "ססמה", "ססמא", "पासवर्ड", "パスコード", "暗証番号",
    "口令", "비번", "패스워드", "พาสเวิร์ด", "รหัส",
)  # fmt: skip
_MORE_CODES = (
    "pin", "otp", "2fa", "tan", "codul", "пин", "пін", "pincode", "कोड", "पिन", "ओटीपी", "پین",
    "رمز", "كود",
    "认证码", "認証番号", "暗証番号", "인증번호", "핀번호", "코드", "พิน",
)  # fmt: skip
"""Words that people use and the catalogues lack, for a code; those for a password are above."""
_DOUBTFUL = frozenset(("pass", "pw", "clave", "пасс", "mdp", "sandi", "parole", "psw"))
"""Words for a password that have other meanings too."""
_SHORT_CODES = frozenset(("cvv", "cvv2", "cvc", "cvc2", "crypto", "prüfziffer"))
"""Words for a code of three digits."""
_MORE_OTHER_CODES = ("erro código", "source code", "promo code", "postcode", "barcode", "unicode")
_OTHER_AFTER = (["postal"], ["source"], ["promo"])
_MORE_KEYS = (
    "key", "apikey", "secret", "bearer", "clé", "clave", "chave", "chiave", "schlüssel", "sleutel",
    "ключ", "klucz", "klíč", "kľúč", "kulcs", "nyckel", "nøkkel", "nøgle", "avain", "cheie",
    "κλειδί", "مفتاح", "מפתח", "密钥", "金鑰", "キー", "키",
)  # fmt: skip
_NAMES = frozenset(("sandi", "parole", "clave"))
"""Doubtful words that also stand before a colon: `Sandi: hello`."""
_SHORT = 3  # letters
_COMPOUNDED = frozenset(("kod", "kód", "kôd", "код"))
"""Short words that still take endings and form compounds."""
_LONGEST_ENDING = 6  # letters, as in Hungarian `jelszavaink`
_UNCASED = "\u0590"
"""From here on, scripts have no capitals, and join articles or particles to a word."""
_PUNCTUATION = ".,;)!?\"'»”`"
_INFLECTED = frozenset(
    (
        "az", "be", "bg", "bs", "cs", "dsb", "el", "et", "fi", "hr", "hsb", "hu", "lt", "lv", "mk",
        "pl", "ro", "ru", "sk", "sl", "sr", "tr", "uk",
    )
)  # fmt: skip
"""Languages whose words change their ending with their place in a sentence."""
_ENDING = re.compile(r"(?<=\w{4})(?:ός|ης|is|as|[aeioóuyăəеаоъьйя])$")
_PLAIN = str.maketrans("łøđı", "lodi")
_ACCENT = re.compile("[\u0300-\u0304\u0306\u0308\u030a-\u0328]")


def find_key_blocks(text: str) -> Iterator[Span]:
    """Yield private keys up to their last line, or to the end of the text if it is missing."""
    at = 0
    while block := _BLOCK_START.search(text, at):
        end = _BLOCK_END.search(text, block.end())
        at = end.end() if end else len(text)
        yield block.start(), at


def find_keys(text: str) -> Iterator[Span]:
    """Yield access keys and tokens that their form shows."""
    for pattern in (_KEY, _key_formats()):
        for match in pattern.finditer(text):
            yield match.span()
    for match in _RANDOM.finditer(text):
        if _is_random(match[0]):
            yield match.span()


def find_named_keys(text: str) -> Iterator[Span]:
    """Yield generated words after a word such as `API key`, and the login of `Basic`."""
    lowered = lower(text)
    for start, end in _find_words(_key_words(), lowered):
        if (match := _AFTER_KEY.match(text, end)) and _is_named_key(match, lowered[start:end]):
            yield match.span("secret")
    for match in _BASIC.finditer(text):
        if _is_login(match[1]):
            yield match.span(1)


def find_passwords(text: str) -> Iterator[Span]:
    """Yield what looks like a password next to a word such as `password`, or after an e-mail."""
    may_have = _ODD_CHARACTER.search(text) and _ODD_WORD.search(text)
    if not (may_have or _BEFORE_SECRET.search(text)):
        return
    lowered = lower(text)
    for start, end in _find_words(_password_words(), lowered):
        match = _AFTER_PASSWORD.match(text, end)
        if match and _is_password_after(match, lowered[start:end]):
            yield _trim(match)
    for _, end in _find_words(_code_words(), lowered):
        match = _AFTER_PASSWORD.match(text, end)
        if match and _is_direct(match) and _looks_strong(match["secret"]):
            yield _trim(match)
    for start, end in _find_words(_password_words(), lowered):
        match = _BEFORE_PASSWORD.search(text, max(0, start - _MAX_BEFORE), start)
        if match and _is_password_before(match, lowered[start:end]):
            yield _trim(match)
    for match in _AFTER_LOGIN.finditer(text):
        if _looks_generated(match[1]):
            yield match.span(1)


def find_codes(text: str) -> Iterator[Span]:
    """Yield one-time codes, PINs and door codes that the words around them name."""
    if not _MAY_BE_CODE.search(text):
        return
    lowered = lower(text)
    for pattern in (_code_words(), _password_words()):
        for start, end in _find_words(pattern, lowered):
            word = lowered[start:end]
            if word in _DOUBTFUL:
                continue
            if (match := _AFTER_CODE.match(text, end)) and _is_code_after(match, word):
                yield match.span("secret")
            match = _BEFORE_CODE.search(text, max(0, start - _MAX_BEFORE), start)
            if match and _is_code_before(match, word):
                yield match.span("secret")
    for match in _CODE_FIRST.finditer(text):
        yield match.span(1)


def lower(text: str) -> str:
    """Return a text in lower case that is as long as before: `İ` becomes two characters."""
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    return "".join(low if len(low := letter.lower()) == 1 else letter for letter in text)


def _compile(groups: Iterable[Iterable[str]]) -> re.Pattern[str]:
    """Return a pattern of the words, one branch for each first letter: it reads a text once."""
    spellings = {spelling for group in groups for word in group for spelling in _spell(word)}
    return re.compile(_branch(sorted(spellings)))


def _spell(word: str) -> Iterator[str]:
    """Yield a word with and without its accents: `heslo`, `hasło`, `haslo`."""
    yield word
    if len(word) > _SHORT:
        plain = _ACCENT.sub("", unicodedata.normalize("NFD", word)).translate(_PLAIN)
        yield unicodedata.normalize("NFC", plain)


def _branch(words: list[str]) -> str:
    branches: dict[str, list[str]] = {}
    for word in filter(None, words):
        branches.setdefault(word[0], []).append(word[1:])
    tree = "|".join(re.escape(first) + _branch(rest) for first, rest in branches.items())
    return f"(?:{tree}){'?' if '' in words else ''}" if tree else ""


def _stems(languages: Mapping[str, Iterable[str]]) -> Iterator[Iterable[str]]:
    """Yield each language's words, without their last vowel if it changes: `hasło`, `hasła`."""
    for language, forms in languages.items():
        yield (_ENDING.sub("", form) for form in forms) if language in _INFLECTED else forms


@cache
def _key_formats() -> re.Pattern[str]:
    """Compile the formats when a long word first needs them: it takes 0.05 s."""
    return re.compile(rf"(?<![\w-])(?:{'|'.join(KEY_FORMATS.values())})[\w-]{{0,255}}")


@cache
def _password_words() -> re.Pattern[str]:
    return _compile([*_stems(words.PASSWORD_WORDS), _MORE_PASSWORDS, _DOUBTFUL])


@cache
def _code_words() -> re.Pattern[str]:
    others = words.OTHER_CODES.values()
    return _compile([*_stems(words.CODE_WORDS), *others, _MORE_CODES, _SHORT_CODES])


@cache
def _key_words() -> re.Pattern[str]:
    return _compile([*words.KEY_WORDS.values(), _MORE_KEYS])


@cache
def _not_codes() -> frozenset[str]:
    groups = [*words.OTHER_CODES.values(), _MORE_OTHER_CODES]
    return frozenset(spelling for group in groups for word in group for spelling in _spell(word))


def _find_words(pattern: re.Pattern[str], lowered: str) -> Iterator[Span]:
    """Yield where a pattern's words stand.

    A short one must stand alone; others may be a part of a compound: `wifilösenord`, `Türcode`.
    """
    for match in pattern.finditer(lowered):
        word, (start, end) = match[0], match.span()
        is_short = word in _DOUBTFUL or (len(word) <= _SHORT and word not in _COMPOUNDED)
        if word >= _UNCASED or not is_short or _stands_alone(lowered, start, end):
            yield start, end


def _stands_alone(text: str, start: int, end: int) -> bool:
    beside = text[max(0, start - 1) : start] + text[end : end + 1]
    return not any(letter.isalnum() and letter < _UNCASED for letter in beside)


def _trim(match: re.Match[str]) -> Span:
    """Return where a password stands, without the punctuation after it."""
    start = match.start("secret")
    return start, start + len(match["secret"].rstrip(_PUNCTUATION))


def _is_direct(match: re.Match[str]) -> bool:
    """Whether a sign or a form of "to be" stands between a word and the secret after it."""
    if (match["sign"] or "").strip():
        return True
    before = (match["suffix"] + match["gap"]).lower().rstrip()
    return before.endswith(_IS_JOINED) or not _IS.isdisjoint(before.split()[-2:])


def _is_password_after(match: re.Match[str], word: str) -> bool:
    secret, between = match["secret"].rstrip(_PUNCTUATION), len(match["gap"].split())
    if word[0] < _UNCASED and len(match["suffix"]) > _LONGEST_ENDING:
        return False
    has_letter = bool(_LETTER.search(secret))
    if word in _DOUBTFUL and not has_letter:
        return False
    if match["sign"]:
        # An ordinary word counts only if nothing follows it: `password: swordfish`, but not
        # `password: no idea`.
        is_last = match["last"] is not None and word not in _NAMES
        # DB_PASSWORD=… or MYSQL_ROOT_PASSWORD: …
        before = match.start() - len(word) - 1
        is_last |= match["sign"] == "=" or match.string[max(before, 0)] == "_"
        return _looks_generated(secret) or (is_last and has_letter)
    if _MEASURE.fullmatch(secret):  # 12345, but not 10am
        return secret.isdecimal() and len(secret) > _MIN_DIGITS and _is_direct(match)
    is_near = between <= _MOST_BETWEEN or _is_direct(match)
    return _looks_strong(secret) or (is_near and _looks_generated(secret))


def _is_password_before(match: re.Match[str], word: str) -> bool:
    return _looks_strong(match["secret"]) and _belongs(match["gap"].lower(), word)


def _belongs(gap: str, word: str) -> bool:
    """Whether a form of "to be" begins a gap between a secret and the word for it."""
    if word[0] >= _UNCASED and (gap.isspace() or not gap[:1].isspace()):
        return True
    return gap.lstrip().startswith(_IS_JOINED) or not _IS.isdisjoint(gap.split()[:1])


def _is_code_after(match: re.Match[str], word: str) -> bool:
    code, between = match["secret"], match["gap"].split()
    if word in _not_codes() or between[:1] in _OTHER_AFTER:
        return False
    if word in _SHORT_CODES or code.endswith("#"):
        return True
    if len(_DIGIT.findall(code)) < _MIN_DIGITS:
        return False
    if (match["sign"] or "").strip():
        return True
    # "code 2000" and "código penal 1940" are not secrets; "code: 2000" may be one.
    if _YEAR_OR_ROUND.fullmatch(code):
        return _is_direct(match) and match["last"] is not None
    return len(between) <= _MOST_BETWEEN or _is_direct(match)


def _is_code_before(match: re.Match[str], word: str) -> bool:
    code = match["secret"]
    if word in _not_codes() or len(_DIGIT.findall(code)) < _MIN_DIGITS:
        return False
    return not _YEAR_OR_ROUND.fullmatch(code) and _belongs(match["gap"].lower(), word)


def _looks_generated(word: str) -> bool:
    """Whether a word has digits and letters, many digits, or letters and an unusual symbol."""
    if _DIGIT.search(word) and (_LETTER.search(word) or len(word) > _MIN_DIGITS):
        return True
    return bool(_LETTER.search(word) and _INNER_SYMBOL.search(word))


def _looks_strong(word: str) -> bool:
    """Whether a word mixes digits and letters more than names such as Windows10 do."""
    if len(word) < _STRONG or not (_DIGIT.search(word) and _LETTER.search(word)):
        return False
    is_mixed = word[1:] != word[1:].lower() and word != word.upper()
    return is_mixed or _count_changes(word) > 1 or bool(_INNER_SYMBOL.search(word))


def _is_random(word: str) -> bool:
    """Whether a long word has so many changes between letters and digits that nobody wrote it."""
    if _UUID.fullmatch(word):
        return False
    if _HEX.fullmatch(word):
        return len(word) == _HEX_KEY
    is_mixed = not (word.islower() or word.isupper())
    return _count_changes(word) >= (_MIN_CHANGES_MIXED if is_mixed else _MIN_CHANGES)


def _count_changes(word: str) -> int:
    """Return how often a letter follows a digit or a digit a letter."""
    return len(_CHANGE.findall(word))


def _is_named_key(match: re.Match[str], word: str) -> bool:
    key = match["secret"]
    if word == "bearer" and not match["gap"]:
        return True
    return bool((match["sign"] or "").strip()) or _count_changes(key) >= _MIN_CHANGES


def _is_login(word: str) -> bool:
    """Whether a word is Base64 of a name, a colon and a password."""
    try:
        login = b64decode(
            word + "=" * (-len(word) % 4), altchars="-_" if {"-", "_"} & set(word) else None
        )
        return ":" in login.decode() and login.decode().isprintable()
    except (binascii.Error, UnicodeDecodeError):
        return False
