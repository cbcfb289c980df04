"""Store the answers in `understudy start` in a private file next to the models."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_type_hints

from model.errors import UnderstudyError
from model.files import make_folder, write_text

FILE = "start.json"


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers, and which steps are done; None and False mean not answered yet.

    `consented` is the number of people who were asked about before Ctrl-C. `version` is the trained
    version, `messages` the number of messages in the chat, `languages` their codes, separated by
    spaces. The bot's token is not here: it is stored only in .env.
    """

    export: str | None = None
    chat_id: int | None = None
    chat: str = ""
    messages: int = 0
    languages: str = ""
    min_messages: int = 0
    has_people: bool = False
    consented: int | None = None
    base: str | None = None
    minutes: float | None = None
    lora: bool = False
    version: str | None = None
    has_seen_samples: bool = False
    bot: str | None = None


def load_answers(root: Path) -> Answers:
    """Return the answers stored in this models folder, or empty ones.

    Raises:
        UnderstudyError: The file is damaged.
    """
    file = root / FILE
    damaged = f"{file} is damaged: start again with --restart"
    try:
        value: dict[str, Any] = json.loads(file.read_text("utf-8"))
        types = get_type_hints(Answers) | {"minutes": float | int | None}
        known = {key: value[key] for key in types if key in value}
        is_valid = all(isinstance(one, types[key]) for key, one in known.items())
        answers = Answers(**known) if is_valid and isinstance(value, dict) else None
    except FileNotFoundError:
        return Answers()
    except (OSError, RecursionError, TypeError, ValueError) as error:
        raise UnderstudyError(damaged) from error
    if answers is None:
        raise UnderstudyError(damaged)
    return answers


def save_answers(answers: Answers, root: Path) -> None:
    """Write the answers; a kill leaves the earlier or the new file, never a part."""
    text = json.dumps(asdict(answers), indent=1)  # ASCII: a path need not be valid Unicode
    write_text(make_folder(root) / FILE, text)
