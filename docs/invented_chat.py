"""A made-up group chat as a Telegram export, for the picture of the report.

Nobody wrote these messages: each is a random combination of the phrases below.
"""

import json
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

SEED = 7
DAYS = 190
START = datetime(2025, 3, 3, tzinfo=UTC)
HOURS = (*range(7, 10), *range(12, 14), *range(17, 24))
TURN_ENDS = 0.6
"""How often the next message is somebody else's."""


@dataclass(frozen=True, slots=True)
class Friend:
    """Somebody's subjects, habits and share of the messages; `answers` is whom they answer most."""

    name: str
    weight: int
    things: tuple[str, ...]
    ends: tuple[str, ...]
    answers: str
    is_lower: bool = False


FRIENDS = (
    Friend(
        "Ines", 10,
        ("the climbing hall", "a new route", "my chalk bag", "the overhang", "boulders"),
        ("!", "! :)", "", " \\o/"), "Marko",
    ),
    Friend(
        "Marko", 8,
        ("the sourdough", "rye flour", "the oven", "a second loaf", "the crust", "cardamom buns"),
        ("", "...", " :/", "... again"), "Ines", is_lower=True,
    ),
    Friend(
        "Lena", 7,
        ("the telescope", "Saturn", "the meteor shower", "a clear sky", "the eclipse", "Jupiter"),
        (".", ". Look up tonight.", " ;)", "."), "Yusuf",
    ),
    Friend(
        "Tom", 5,
        ("the allotment", "courgettes", "the compost", "slugs", "tomato seedlings", "the shed"),
        (" lol", "", " haha", " :("), "Marko", is_lower=True,
    ),
    Friend(
        "Yusuf", 4,
        ("the chess club", "my endgame", "a rook sacrifice", "the clock", "the bishop", "blitz"),
        (", obviously", "?", "", ", right?"), "Lena",
    ),
)  # fmt: skip
OPENINGS = (
    "Who is coming on {day}", "I finally sorted out {thing}", "Guess what happened with {thing}",
    "Is anybody free on {day}", "I spent all {day} on {thing}", "Has anyone seen {thing}",
)  # fmt: skip
REPLIES = (
    "Sounds good", "I would rather think about {thing}", "That is just like {thing}", "Same here",
    "Wait, what about {thing}", "Maybe on {day}", "Not before {day}", "Yes, with {thing}",
    "I dreamt of {thing}", "Only if we also talk about {thing}", "No way", "Tell me more",
    "You never mention {thing}", "I need {thing} for that", "Then I will bring {thing}",
)  # fmt: skip
WEEKDAYS = ("Monday", "Tuesday", "Thursday", "Friday", "Saturday", "Sunday")


def write_export(folder: Path) -> Path:
    """Write result.json and a roster in which everybody agreed; return the path of result.json."""
    chance = random.Random(SEED)
    messages: list[dict[str, object]] = []
    for day in range(DAYS):
        for _ in range(chance.choice((0, 1, 1, 2, 2, 3))):
            at = START + timedelta(
                days=day, hours=chance.choice(HOURS), minutes=chance.random() * 9
            )
            _add_conversation(messages, at, chance)
    messages.sort(key=lambda message: str(message["date"]))
    for number, message in enumerate(messages, 1):
        message["id"] = number
    folder.mkdir(parents=True, exist_ok=True)
    chat = {"name": "Five friends", "type": "private_supergroup", "id": 1, "messages": messages}
    (folder / "result.json").write_text(json.dumps(chat, ensure_ascii=False, indent=1), "utf-8")
    people = (
        f'[[people]]\nname = "{friend.name}"\nids = [{number}]\nimitate = "yes"\n'
        for number, friend in enumerate(FRIENDS, 1)
    )
    (folder / "roster.toml").write_text("".join(people), "utf-8")
    return folder / "result.json"


def _add_conversation(
    messages: list[dict[str, object]], at: datetime, chance: random.Random
) -> None:
    """Append six to thirty messages, a minute or less apart."""
    weights = [friend.weight for friend in FRIENDS]
    speaker = chance.choices(FRIENDS, weights)[0]
    for number in range(chance.randrange(6, 30)):
        text = _write(speaker, OPENINGS if number == 0 else REPLIES, chance)
        messages.append(_message(at, FRIENDS.index(speaker) + 1, speaker.name, text))
        at += timedelta(seconds=chance.randrange(8, 60))
        if chance.random() < TURN_ENDS:
            liking = [
                0 if friend is speaker else 4 * friend.weight if friend.answers == speaker.name
                else friend.weight
                for friend in FRIENDS
            ]  # fmt: skip
            speaker = chance.choices(FRIENDS, liking)[0]


def _write(friend: Friend, phrases: tuple[str, ...], chance: random.Random) -> str:
    text = chance.choice(phrases).format(
        day=chance.choice(WEEKDAYS), thing=chance.choice(friend.things)
    )
    return (text.lower() if friend.is_lower else text) + chance.choice(friend.ends)


def _message(at: datetime, user: int, name: str, text: str) -> dict[str, object]:
    return {
        "type": "message",
        "date": at.replace(tzinfo=None, microsecond=0).isoformat(),
        "date_unixtime": str(int(at.timestamp())),
        "from": name,
        "from_id": f"user{user}",
        "text": text,
        "text_entities": [{"type": "plain", "text": text}],
    }
