"""Find passwords, keys and one-time codes."""

import hashlib
import re
from collections.abc import Iterator

from stdnum import bitcoin

from model.redaction.spans import MASK, Span

_KEY = re.compile(
    r"(?<![\w-])(?:(?:AKIA|ASIA)[A-Z0-9]{12,20}|gh[opusr]_\w{20,255}|github_pat_\w{20,255}"
    r"|sk-[\w-]{20,255}|[sr]k_(?:test|live)_\w{16,255}|xox[abeprs]-[\w-]{10,255}|hf_\w{20,64}"
    r"|gl(?:pat|dt|rt)-[\w-]{16,64}|AIza[\w-]{30,40}|ya29\.[\w-]{20,255}|npm_\w{30,50}"
    r"|pypi-[\w-]{30,255}|SG\.[\w-]{16,40}\.[\w-]{30,60}|\d{6,12}:[\w-]{34,40}"
    r"|eyJ[\w-]{8,2048}\.[\w-]{8,4096}(?:\.[\w-]{0,1024})?"
    r"|(?=[a-zA-Z/+]{0,39}\d)(?=[a-z\d/+]{0,39}[A-Z])(?=[A-Z\d/+]{0,39}[a-z])[A-Za-z\d/+]{40})"
    r"(?![\w-])",
)
"""Vendors' prefixes, JSON Web Tokens, and words of 40 characters such as AWS secrets."""
_NAMED_KEY = re.compile(
    r"(?:(?:api[ _-]?key|secret|token)[\"']?\s?[:=]\s?[\"']?|bearer\s)"
    r"(?=[^\d\s]{0,40}\d)([\w./+-]{12,255})",
    re.IGNORECASE,
)
_BLOCK_START = re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----")
_BLOCK_END = re.compile(r"-----END [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----")

_WALLET = re.compile(
    r"(?<!\w)(?:0x[0-9a-fA-F]{40}|[48][0-9AB][1-9A-HJ-NP-Za-km-z]{93}"
    r"|([13LMDAT9][1-9A-HJ-NP-Za-km-z]{25,34})"
    r"|((?:bc|tb|ltc)1[a-z0-9]{11,71}|(?:BC|TB|LTC)1[A-Z0-9]{11,71}))(?!\w)",
)

_ADDRESS_BYTES = 25
"""A version byte, 20 bytes of hash and 4 of checksum, in base 58."""
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BECH32_ENDS = (1, 0x2BC830A3)
"""Remainders of a valid checksum: BIP 173 for segwit version 0, BIP 350 for later versions."""

PASSWORD_SIGNS = (
    "pass", "pw", "senha", "contrase", "clave", "kennwort", "mot de", "mdp", "парол", "пасс", MASK,
)  # fmt: skip
"""`find_passwords` finds nothing in a text without one of these, in lower case."""

_IS = r"(?:is|are|é|eh|e|es|ist|lautet|est|c'est|теперь|now|agora|ahora)"
_PASSWORD = re.compile(
    r"(?<!\w)(?:(?:pass(?:word|wort|code|wd)|pwd|senha|palavra-passe|contraseña|contrasena|kennwort"
    r"|mot de passe|mdp|парол[ья])(?!\w)(?:\s[^\W\d_]{1,12}){0,3}?"
    r"|(?P<doubtful>pass|pw|clave|пасс)(?!\w)"
    r"(?:\s(?:de|del|do|da|du|of|for|vom|от)\s[^\W\d_]{1,12})?)"
    rf"(?:\s?(?P<sign>[:=→]|\s[-–—](?=\s))\s{{0,2}}|(?:\s{_IS})?\s{{1,2}}"
    rf"(?=[^\s{MASK}]{{0,63}}[\d_#$%&*+=^~!@]))[\"'«“]?(?P<word>[^\s{MASK}\[\]]{{4,64}})(?P<last>\s*$)?",
    re.IGNORECASE | re.MULTILINE,
)
_AFTER_LOGIN = re.compile(rf"{MASK}{MASK}\s?[/:|]\s?([^\s/{MASK}\[\]]{{5,64}})(?!\S)")
_DIGIT = re.compile(r"\d")
_LETTER = re.compile(r"[^\W\d_]")
_SYMBOL = re.compile(r"\w[^\w\s'’.,/…-]+\w|_|[#$%&*+=^~|\\{}<>]")

_CODE = re.compile(
    r"(?<!\w)(?<!error )(?<!zip )(?<!erro )"
    r"(?:(?P<doubtful>code|c[oó]digo|код)|(?:[\w-]{1,20}code|пин"
    r"|pin|otp|2fa|tan|(?P<short>cvv2?|cvc2?|crypto|prüfziffer)))(?!\w)"
    r"(?!\s(?:postal|source|promo))"
    r"(?:\s(?:d[aeou]l?\s|d'|for\s|от\s|i\s)?[^\W\d_]{1,14})?"
    rf"(?P<sign>\s?[:=→]\s{{0,2}}|\s[-–—]\s|\s(?:{_IS}|i got is)\s{{1,2}}|\s{{1,2}})"
    r"(?P<code>(?:G-)?[^\W_]?\d\d{1,7}(?:[ -]\d{3,4})?(?:[a-zа-яA-Z]\d{1,4})?#?)(?![\w.,:/%]?\w)",
    re.IGNORECASE,
)
_YEAR_OR_ROUND = re.compile(r"(?:19|20)\d\d|\d\d?00+")
_CODE_FIRST = re.compile(
    r"(?<![\w.,:/+-])((?:G-)?\d{3}[ -]?\d{1,5}) (?:(?:is|é|es|ist|est|as) (?:your|ur|o seu|o teu"
    r"|tu|su|dein|ihr|votre|ton)\s(?:\w{1,20}\s){0,2}[\w-]{0,20}?(?:code|código|codigo|pin)"
    r"|to (?:verify|confirm|log ?in)|[-–—] (?:(?:ваш|твой) )?код)(?!\w)",
    re.IGNORECASE,
)
_MIN_DIGITS = 4


def find_key_blocks(text: str) -> Iterator[Span]:
    """Yield private keys up to their last line, or to the end of the text if it is missing."""
    at = 0
    while block := _BLOCK_START.search(text, at):
        end = _BLOCK_END.search(text, block.end())
        at = end.end() if end else len(text)
        yield block.start(), at


def find_keys(text: str) -> Iterator[Span]:
    """Yield access keys and tokens."""
    for match in _KEY.finditer(text):
        yield match.span()
    for match in _NAMED_KEY.finditer(text):
        yield match.span(1)


def find_wallets(text: str) -> Iterator[Span]:
    """Yield addresses of cryptocurrencies; a checksum must be correct.

    `stdnum.bitcoin` validates Bitcoin alone, so its parts check the other currencies too.
    """
    for match in _WALLET.finditer(text):
        base58, bech32 = match.groups()
        if (not base58 or _is_base58_address(base58)) and (not bech32 or _is_bech32(bech32)):
            yield match.span()


def find_passwords(text: str) -> Iterator[Span]:
    """Yield words that look like a password after a word such as `password`, or after an e-mail."""
    for match in _PASSWORD.finditer(text):
        word = match["word"].rstrip(".,;)!?\"'")
        has_letter = bool(_LETTER.search(word))
        if match["doubtful"] and not has_letter:
            continue
        # An ordinary word counts only if nothing follows it: `password: swordfish`, but not
        # `password: no idea`.
        is_last = match["sign"] is not None and match["last"] is not None
        if _looks_generated(word) or (is_last and has_letter):
            yield match.start("word"), match.start("word") + len(word)
    for match in _AFTER_LOGIN.finditer(text):
        if _looks_generated(match[1]):
            yield match.span(1)


def find_codes(text: str) -> Iterator[Span]:
    """Yield one-time codes, PINs and door codes that the words around them name."""
    for match in _CODE.finditer(text):
        code = match["code"]
        if not match["short"] and not code.endswith("#"):
            # "code 2000" and "código penal 1940" are not secrets; "code: 2000" may be one.
            has_sign = not match["sign"].isspace()
            if match["doubtful"] and not has_sign and _YEAR_OR_ROUND.fullmatch(code):
                continue
            if len(_DIGIT.findall(code)) < _MIN_DIGITS:
                continue
        yield match.span("code")
    for match in _CODE_FIRST.finditer(text):
        yield match.span(1)


def _looks_generated(word: str) -> bool:
    """Whether a word has digits and letters, many digits, or letters and an unusual symbol."""
    if _DIGIT.search(word) and (_LETTER.search(word) or len(word) > _MIN_DIGITS):
        return True
    return bool(_LETTER.search(word) and _SYMBOL.search(word))


def _is_base58_address(word: str) -> bool:
    """Whether the checksum of a Bitcoin, Litecoin, Dogecoin or TRON address is correct."""
    address = bitcoin.b58decode(word)
    twice = hashlib.sha256(hashlib.sha256(address[:-4]).digest()).digest()
    return len(address) == _ADDRESS_BYTES and twice[:4] == address[-4:]


def _is_bech32(word: str) -> bool:
    """Whether the checksum of a Bech32 or Bech32m address is correct (BIP 173, BIP 350)."""
    prefix, _, rest = word.lower().rpartition("1")
    values = [_BECH32.find(letter) for letter in rest]
    if not prefix or min(values, default=-1) < 0:
        return False
    codes = [ord(letter) for letter in prefix]
    expanded = [code >> 5 for code in codes] + [0] + [code & 31 for code in codes]
    return bitcoin.bech32_checksum(expanded + values) in _BECH32_ENDS
