"""Write the demo chat as a Telegram export."""

import itertools
import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from model.chat.roster import Person, Roster
from model.errors import ExportError, UnderstudyError
from model.files import make_folder, write_text
from pipeline.dataset.roster_file import ROSTER_FILE, write_roster

NAMES = ("Tiago", "Leonardo", "Hugo", "Andre", "Raul")
TITLE = "Five friends"
SEED = 14
"""Of the first thirty the one whose last 15 % are shared most evenly: 491 messages at least."""

_CHAT = 1_500_000_000
_FIRST_ID = 101
_CANDIDATES = 16  # of 16 writers 4,368 fives can be made; those after them wrote too little
_FEWEST = 4  # messages of a conversation
_PAUSE = timedelta(hours=3)  # above any sensible session gap, so no two conversations merge
_ENTITY = re.compile(
    r"(?P<link>https?://\S+)|(?P<email>[\w.+-]+@[\w-]+(?:\.[\w-]+)+)|(?P<mention>(?<!\w)@[A-Za-z]\w{3,31})"
    r"|(?P<hashtag>(?<!\w)#(?=\w*[^\W\d])\w+)|(?P<bot_command>(?<![\w/])/[A-Za-z]\w*)"
)


@dataclass(frozen=True, slots=True)
class Said:
    """One message of the data set."""

    sender: str
    text: str
    at: datetime


def write_sample(folder: Path, seed: int = SEED) -> Path:
    """Write the demo's result.json and its roster.toml; return the former's path.

    The same seed writes the same bytes.

    Raises:
        ExportError: The folder holds another chat's export.
        UnderstudyError: The data set is not installed.
    """
    path = folder / "result.json"
    if path.exists() and f'"id": {_CHAT},' not in path.read_text("utf-8", "replace")[:200]:
        raise ExportError(f"{path} is another chat's export: give the sample a folder of its own")
    conversations = _chosen(_conversations())
    order = _shuffled(conversations, seed)
    names = _names(conversations)
    make_folder(folder)
    text = json.dumps(_chat(_laid_out(order), names), ensure_ascii=False, indent=1)
    write_text(path, text)
    write_roster(_roster(), folder / ROSTER_FILE)
    return path


def _conversations() -> list[list[Said]]:
    """Return the data set's conversations of four messages or more, in its order."""
    try:
        import chitchat_dataset
    except ImportError as error:
        raise UnderstudyError(
            "the demo's chat needs the training extra: pip install '.[train]'"
        ) from error
    values = json.loads(Path(chitchat_dataset.__file__).with_name("dataset.json").read_bytes())
    conversations = (
        [_said(said) for turn in value["messages"] for said in turn if said["text"].strip()]
        for value in values.values()
    )
    return [conversation for conversation in conversations if len(conversation) >= _FEWEST]


def _said(value: dict[str, str]) -> Said:
    at = datetime.fromisoformat(value["timestamp"]).astimezone(UTC)
    return Said(value["sender"], value["text"].strip(), at)


def _chosen(conversations: list[list[Said]]) -> list[list[Said]]:
    """Return the conversations in which only the five speak who wrote most to each other."""
    written = Counter(said.sender for conversation in conversations for said in conversation)
    candidates = [sender for sender, _ in written.most_common(_CANDIDATES)]
    among: Counter[frozenset[str]] = Counter()
    for conversation in conversations:
        among[_senders(conversation)] += len(conversation)

    def messages_among(five: Iterable[str]) -> int:
        alone = sum(among[frozenset((one,))] for one in five)
        return alone + sum(among[frozenset(pair)] for pair in itertools.combinations(five, 2))

    fives = map(frozenset, itertools.combinations(candidates, len(NAMES)))
    five = max(fives, key=messages_among)
    return [conversation for conversation in conversations if _senders(conversation) <= five]


def _senders(conversation: Iterable[Said]) -> frozenset[str]:
    return frozenset(said.sender for said in conversation)


def _names(conversations: Iterable[Iterable[Said]]) -> dict[str, str]:
    """Return the friends' names by the data set's senders; who wrote most is first."""
    written = Counter(said.sender for conversation in conversations for said in conversation)
    senders = sorted(written, key=lambda sender: (-written[sender], sender))
    return dict(zip(senders, NAMES, strict=True))


def _shuffled(conversations: list[list[Said]], seed: int) -> list[list[Said]]:
    """Return the conversations in an order drawn by the seed: all five speak to the end."""
    order = list(conversations)
    random.Random(seed).shuffle(order)
    return order


def _laid_out(order: Iterable[list[Said]]) -> Iterator[Said]:
    """Move each conversation after the one before it, to its own time of day.

    The data set's first day is the chat's; gaps inside a conversation stay as they were.
    """
    conversations = list(order)
    day = timedelta(days=1)
    end = min(conversation[0].at for conversation in conversations) - day
    for conversation in conversations:
        earliest = end + _PAUSE
        shift = (earliest - conversation[0].at) // day * day
        while conversation[0].at + shift < earliest:
            shift += day
        for said in conversation:
            yield Said(said.sender, said.text, said.at + shift)
        end = conversation[-1].at + shift


def _chat(messages: Iterable[Said], names: dict[str, str]) -> dict[str, Any]:
    """Return the chat as Telegram Desktop writes it, its keys in the same order."""
    said = list(messages)
    first = {
        "id": 1,
        "type": "service",
        **_date(said[0].at - timedelta(minutes=1)),
        "actor": NAMES[0],
        "actor_id": f"user{_FIRST_ID}",
        "action": "create_group",
        "title": TITLE,
        "members": list(NAMES),
        **_text(""),
    }
    rest = [_message(number, one, names[one.sender]) for number, one in enumerate(said, 2)]
    return {
        "name": TITLE,
        "type": "private_supergroup",
        "id": _CHAT,
        "messages": [first, *rest],
    }


def _message(number: int, said: Said, name: str) -> dict[str, Any]:
    return {
        "id": number,
        "type": "message",
        **_date(said.at),
        "from": name,
        "from_id": f"user{_FIRST_ID + NAMES.index(name)}",
        **_text(said.text),
    }


def _date(at: datetime) -> dict[str, str]:
    local = at.replace(tzinfo=None).isoformat(timespec="seconds")
    return {"date": local, "date_unixtime": str(int(at.timestamp()))}


def _text(text: str) -> dict[str, Any]:
    """Return text and entities, as Telegram recognises links, mentions and the like by itself."""
    entities: list[dict[str, str]] = []
    end = 0
    for found in _ENTITY.finditer(text):
        if found.start() > end:
            entities.append({"type": "plain", "text": text[end : found.start()]})
        entities.append({"type": str(found.lastgroup), "text": found.group()})
        end = found.end()
    if end < len(text):
        entities.append({"type": "plain", "text": text[end:]})
    parts = [part["text"] if part["type"] == "plain" else part for part in entities]
    is_plain = all(isinstance(part, str) for part in parts)
    return {"text": text if is_plain else parts, "text_entities": entities}


def _roster() -> Roster:
    people = (
        Person(name, (number,), names=(name,), imitate="yes")
        for number, name in enumerate(NAMES, _FIRST_ID)
    )
    return Roster(tuple(people))
