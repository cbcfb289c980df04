"""Make up keys, tokens and wallets in the forms that vendors document."""

import random
import string
import uuid

_DIGITS = string.digits
_HEX = "0123456789abcdef"
_UPPER = string.ascii_uppercase + string.digits
_ALNUM = string.ascii_letters + string.digits
_URL = f"{_ALNUM}-_"
_BASE64 = f"{_ALNUM}+/"
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_PATTERN = {
    "d": _DIGITS, "h": _HEX, "U": _UPPER, "a": _ALNUM, "u": _URL, "b": _BASE64, "s": _BASE58,
    "L": string.ascii_letters, "3": f"{string.ascii_uppercase}234567",
}  # fmt: skip

KEYS = {
    "AWS access key": "AKIA{16:3}",
    "AWS secret": "{40:b}",
    "Airtable": "pat{14:a}.{64:h}",
    "Anthropic": "sk-ant-api03-{93:u}AA",
    "Atlassian": "ATATT3xFfGF0{170:u}=1A2B3C4D",
    "Azure storage": "AccountKey={86:b}==",
    "Cloudflare": "{40:u}",
    "Databricks": "dapi{32:h}",
    "DigitalOcean": "dop_v1_{64:h}",
    "Discord": "M{25:a}.{6:u}.{38:u}",
    "Docker": "dckr_pat_{27:u}",
    "Doppler": "dp.pt.{43:a}",
    "Dropbox": "sl.{130:u}",
    "Facebook": "EAA{150:a}",
    "Figma": "figd_{40:u}",
    "GitHub": "ghp_{36:a}",
    "GitHub, fine-grained": "github_pat_{22:a}_{59:a}",
    "GitLab": "glpat-{20:u}",
    "Google API": "AIza{35:u}",
    "Google OAuth": "GOCSPX-{28:u}",
    "Groq": "gsk_{52:a}",
    "Hugging Face": "hf_{34:L}",
    "JSON Web Token": "eyJ{33:u}.eyJ{60:u}.{43:u}",
    "Linear": "lin_api_{40:a}",
    "Mailchimp": "{32:h}-us12",
    "Mailgun": "key-{32:h}",
    "New Relic": "NRAK-{27:U}",
    "Notion": "ntn_{11:d}{35:a}",
    "Notion, old": "secret_{43:a}",
    "OpenAI": "sk-proj-{74:u}",
    "Postman": "PMAK-{24:h}-{34:h}",
    "PyPI": "pypi-AgEIcHlwaS5vcmc{160:u}",
    "SendGrid": "SG.{22:u}.{43:u}",
    "Sentry": "sntrys_eyJ{150:a}",
    "Shopify": "shpat_{32:h}",
    "Slack": "xoxb-{12:d}-{12:d}-{24:a}",
    "Square": "sq0atp-{22:u}",
    "Stripe": "sk_live_{24:a}",
    "Stripe webhook": "whsec_{32:a}",
    "Supabase": "sbp_{40:h}",
    "Telegram bot": "{10:d}:AA{33:u}",
    "Twilio": "SK{32:h}",
    "npm": "npm_{36:a}",
    "xAI": "xai-{80:a}",
    "64 hexadecimal digits": "{64:h}",
    "UUID named as a key": "API key: {uuid}",
    "Basic authorization": "Authorization: Basic YWRtaW46{24:a}",
    "password in a URL": "redis://:{16:a}@cache.example.com:6379",
    "environment variable": "DB_PASSWORD={12:L}",
    "YAML": "MYSQL_ROOT_PASSWORD: {12:L}",
    "Google calendar": "https://calendar.google.com/calendar/ical/a/private-{32:h}/basic.ics",
    "Outlook calendar": "https://outlook.office365.com/owa/calendar/{32:h}/calendar.ics",
    "Ethereum key": "0x{64:h}",
    "Solana": "{43:s}",
}
"""`{16:3}` stands for 16 letters of a set; the private part begins at the first of them."""


def make_key(form: str, chance: random.Random) -> tuple[str, str]:
    """Return a key in this form, and its random part, from the first random letter to the last."""
    before, *pieces = form.split("{")
    key, start, end = before, len(before), len(before)
    for piece in pieces:
        size, _, after = piece.partition("}")
        count, _, letters = size.partition(":")
        if size == "uuid":
            key += str(uuid.UUID(int=chance.getrandbits(128)))
        else:
            key += "".join(chance.choice(_PATTERN[letters]) for _ in range(int(count)))
        end = len(key)
        key += after
    return key, key[start:end]
