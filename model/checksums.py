"""The checksums that tell a card, an IBAN or a wallet from any other run of letters and digits."""

import hashlib

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BECH32_STEPS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_BECH32_ENDS = (1, 0x2BC830A3)
"""What a right checksum leaves: BIP 173 for the first segwit version, BIP 350 for the rest."""

ADDRESS_BYTES = 25
"""A version, twenty bytes of hash and four of checksum, in base 58."""


def is_luhn(digits: str) -> bool:
    """Whether the last digit is the Luhn check digit of the rest (ISO/IEC 7812-1)."""
    doubled = (divmod(2 * int(digit), 10) for digit in digits[-2::-2])
    total = sum(map(int, digits[-1::-2])) + sum(tens + ones for tens, ones in doubled)
    return total % 10 == 0


def remainder_97(letters: str, before: int = 0) -> int:
    """Return the ISO 7064 remainder of digits and letters A to Z, which stand for 10 to 35."""
    for letter in letters:
        value = int(letter, 36)
        before = (before * (100 if value > 9 else 10) + value) % 97  # noqa: PLR2004 - two digits
    return before


def is_base58_address(word: str) -> bool:
    """Whether a Base58Check address of Bitcoin, Litecoin, Dogecoin or TRON ends in its checksum."""
    number = 0
    for letter in word:
        value = _BASE58.find(letter)
        if value < 0:
            return False
        number = number * 58 + value
    if number.bit_length() > 8 * ADDRESS_BYTES:
        return False
    whole = number.to_bytes(ADDRESS_BYTES, "big")
    twice = hashlib.sha256(hashlib.sha256(whole[:-4]).digest()).digest()
    return twice[:4] == whole[-4:]


def is_bech32(word: str) -> bool:
    """Whether a Bech32 or Bech32m address, `bc1…`, ends in its checksum (BIP 173, BIP 350)."""
    prefix, _, rest = word.lower().rpartition("1")
    values = [_BECH32.find(letter) for letter in rest]
    if not prefix or min(values, default=-1) < 0:
        return False
    codes = [ord(letter) for letter in prefix]
    check = 1
    for value in [code >> 5 for code in codes] + [0] + [code & 31 for code in codes] + values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, step in enumerate(_BECH32_STEPS):
            check ^= step if top >> bit & 1 else 0
    return check in _BECH32_ENDS
