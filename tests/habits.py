"""A synthetic chat in which every voice has an unmistakable habit, as an export."""

import json
import random
from pathlib import Path

CHAT_ID = 4242
HABITS = {"Hugo": "bark bark", "Tiago": "meow meow", "Raul": "tweet tweet"}
IDS = {"Hugo": 11, "Tiago": 12, "Raul": 13}
TALK = [
    *("what about friday?", "shall we go?", "I do not know yet", "hello there", "me too"),
    *("shall we go friday?", "hello", "friday?", "I do not know", "me too friday", "we go there"),
    *("what about me?", "hello you", "not yet", "shall I go?", "you go there", "what about you?"),
]
"""So many that nobody says one thing too often to learn it."""


def write_export(folder: Path, sessions: int = 40, seed: int = 0) -> Path:
    """Write result.json and a roster in which everybody says yes; return the folder."""
    chance = random.Random(seed)
    messages, moment = [], 1_700_000_000
    for _ in range(sessions):
        moment += 3 * 3600
        for _ in range(12):
            moment += chance.randrange(61, 300)
            name = chance.choice(list(HABITS))
            text = f"{chance.choice(TALK)} {HABITS[name]}"
            messages.append(_message(len(messages) + 1, moment, name, text))
    folder.mkdir(parents=True, exist_ok=True)
    chat = {"name": "Habits", "type": "private_supergroup", "id": CHAT_ID, "messages": messages}
    (folder / "result.json").write_text(json.dumps(chat, ensure_ascii=False, indent=1), "utf-8")
    people = "".join(
        f'[[people]]\nname = "{name}"\nids = [{IDS[name]}]\nimitate = "yes"\n' for name in HABITS
    )
    (folder / "roster.toml").write_text(people, "utf-8")
    return folder


def write_demo(folder: Path, sessions: int) -> Path:
    """Write what `demo-chat` writes: an export and lines for the judge; return the export."""
    chance = random.Random(1)
    write_export(folder, sessions)
    turns = (
        {"name": name, "messages": [f"{chance.choice(TALK)} {habit}"], "conversation": number}
        for number in range(40)
        for name, habit in HABITS.items()
    )
    lines = "".join(f"{json.dumps(turn, ensure_ascii=False)}\n" for turn in turns)
    (folder / "judge.jsonl").write_text(lines, "utf-8")
    return folder / "result.json"


def _message(number: int, moment: int, name: str, text: str) -> dict[str, object]:
    return {
        "id": number,
        "type": "message",
        "date": "2023-11-14T22:13:20",
        "date_unixtime": str(moment),
        "from": name,
        "from_id": f"user{IDS[name]}",
        "text": text,
        "text_entities": [{"type": "plain", "text": text}],
    }
