"""Find addresses, keys and seed phrases of cryptocurrencies."""

import binascii
import hashlib
import re
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from functools import cache

from mnemonic import Mnemonic
from stdnum import bitcoin

from model.redaction.spans import Span

_BASE58 = "1-9A-HJ-NP-Za-km-z"
_WALLET = re.compile(
    rf"(?<![\w.-])(?:0x(?:[0-9a-fA-F]{{64}}|[0-9a-fA-F]{{40}})|[48][0-9AB][{_BASE58}]{{93}}"
    rf"|[xyztuv](?:pub|prv)[{_BASE58}]{{107,108}}|(?P<ton>[EUk0]Q[\w-]{{46}})"
    rf"|(?P<base58>[13LMDAT9][{_BASE58}]{{25,34}})|(?P<ripple>r[{_BASE58}]{{24,34}})"
    rf"|(?P<solana>[{_BASE58}]{{43,44}})"
    r"|(?P<bech32>(?:bc|tb|ltc|addr|addr_test|stake)1[a-z0-9]{11,120}"
    r"|(?:BC|TB|LTC)1[A-Z0-9]{11,71}))(?![\w-])",
)
_MIN_DIGITS = 3

_ADDRESS_BYTES = 25
"""A version byte, 20 bytes of hash and 4 of checksum, in base 58."""
_PUBLIC_KEY_BYTES = 32
_TO_BITCOIN = str.maketrans(
    "rpshnaf39wBUDNEGHJKLM4PQRST7VWXYZ2bcdeCg65jkm8oFqi1tuvAxyz",
    "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz",
)
"""XRP writes base 58 with its own order of the same letters."""
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BECH32_ENDS = (1, 0x2BC830A3)
"""Remainders of a valid checksum: BIP 173 for segwit version 0, BIP 350 for later versions."""

_LEAST_WORDS = 12
_COUNTS = (24, 21, 18, 15, 12)
"""Words of a seed phrase (BIP 39)."""
_MOST_WORDS = 48
"""A longer run of a seed's words is hidden as a whole, because each place in it takes time."""
_SEED_WORD = re.compile(r"[a-zA-Z]+")
_BETWEEN = re.compile(r"[\s\d.,:;)(\[\]-]{1,8}")


def find_wallets(text: str) -> Iterator[Span]:
    """Yield addresses and keys; a checksum must be correct.

    `stdnum.bitcoin` validates Bitcoin alone, so its parts check the other currencies too.
    """
    for match in _WALLET.finditer(text):
        kind = match.lastgroup
        if kind is None or _CHECKS[kind](match[0]):
            yield match.span()


def find_seed_phrases(text: str) -> Iterator[Span]:
    """Yield runs of 12 to 24 English words of BIP 39 with a correct checksum."""
    is_numbered = sum(map(str.isdigit, text)) >= _LEAST_WORDS
    if not may_have_seed_phrase(_SEED_WORD.findall(text) if is_numbered else text.split()):
        return
    run: list[Span] = []
    for match in _SEED_WORD.finditer(text):
        if match[0].lower() not in _seed_words():
            yield from _find_phrase(text, run)
            run = []
            continue
        if run and not _BETWEEN.fullmatch(text, run[-1][1], match.start()):
            yield from _find_phrase(text, run)
            run = []
        run.append(match.span())
    yield from _find_phrase(text, run)


def may_have_seed_phrase(words: list[str]) -> bool:
    """Whether 12 of a text's words in a row are a seed's: every 12th word of a text shows it."""
    known = _seed_words()
    for at in range(_LEAST_WORDS - 1, len(words), _LEAST_WORDS):
        if _strip(words[at]) in known:
            first = last = at
            while first and _strip(words[first - 1]) in known:
                first -= 1
            while last + 1 < len(words) and _strip(words[last + 1]) in known:
                last += 1
            if last - first >= _LEAST_WORDS - 1:
                return True
    return False


def _strip(word: str) -> str:
    return word.strip(".,:;").lower()


def _find_phrase(text: str, run: list[Span]) -> Iterator[Span]:
    """Yield the longest phrases in a run of a seed's words, unless it repeats few of them."""
    numbers = [_seed_words()[text[start:end].lower()] for start, end in run]
    if 2 * len(set(numbers)) < len(numbers):
        return
    if len(run) > _MOST_WORDS:
        yield run[0][0], run[-1][1]
        return
    at = 0
    while at + _LEAST_WORDS <= len(run):
        counts = (count for count in _COUNTS if _is_seed_phrase(numbers[at : at + count], count))
        if count := next(counts, 0):
            yield run[at][0], run[at + count - 1][1]
        at += max(count, 1)


def _is_seed_phrase(numbers: list[int], count: int) -> bool:
    """Whether the last bits of a phrase are the first ones of the hash of the others."""
    if len(numbers) != count:
        return False
    value = 0
    for number in numbers:
        value = value << 11 | number
    bits = count // 3
    entropy = (value >> bits).to_bytes(4 * bits, "big")
    return hashlib.sha256(entropy).digest()[0] >> (8 - bits) == value & ((1 << bits) - 1)


@cache
def _seed_words() -> dict[str, int]:
    return {word: number for number, word in enumerate(Mnemonic("english").wordlist)}


def _is_base58_address(word: str) -> bool:
    """Whether the checksum of a Bitcoin, Litecoin, Dogecoin or TRON address is correct."""
    address = bitcoin.b58decode(word)
    twice = hashlib.sha256(hashlib.sha256(address[:-4]).digest()).digest()
    return len(address) == _ADDRESS_BYTES and twice[:4] == address[-4:]


def _is_ripple_address(word: str) -> bool:
    return _is_base58_address(word.translate(_TO_BITCOIN))


def _is_solana_address(word: str) -> bool:
    """Whether a word may be a public key of 32 bytes, which has no checksum."""
    return (
        not (word.islower() or word.isupper())
        and sum(map(str.isdigit, word)) >= _MIN_DIGITS
        and len(bitcoin.b58decode(word)) == _PUBLIC_KEY_BYTES
    )


def _is_ton_address(word: str) -> bool:
    """Whether the CRC-16 of a TON address is correct."""
    address = urlsafe_b64decode(word)
    return binascii.crc_hqx(address, 0) == 0


def _is_bech32(word: str) -> bool:
    """Whether the checksum of a Bech32 or Bech32m address is correct (BIP 173, BIP 350)."""
    prefix, _, rest = word.lower().rpartition("1")
    values = [_BECH32.find(letter) for letter in rest]
    if not prefix or min(values, default=-1) < 0:
        return False
    codes = [ord(letter) for letter in prefix]
    expanded = [code >> 5 for code in codes] + [0] + [code & 31 for code in codes]
    return bitcoin.bech32_checksum(expanded + values) in _BECH32_ENDS


_CHECKS = {
    "base58": _is_base58_address,
    "ripple": _is_ripple_address,
    "solana": _is_solana_address,
    "ton": _is_ton_address,
    "bech32": _is_bech32,
}
