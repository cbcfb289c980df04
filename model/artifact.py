"""A trained model on disk: its weights, its tokenizer and what model.json says of them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, get_args

from model import roster as rosters
from model.conversation import Window
from model.errors import ArtifactError, RosterError
from model.files import write_text
from model.prompt import fingerprint
from model.roster import Roster

FORMAT = 1
Family = Literal["encoder-decoder", "decoder-only"]


@dataclass(frozen=True, slots=True)
class Decoding:
    """How replies are drawn.

    Temperature, top-k and top-p are the seed's; without a penalty small models run in circles.
    """

    temperature: float = 0.7
    top_k: int = 50
    top_p: float = 0.95
    repetition_penalty: float = 1.1
    max_new_tokens: int = 64
    candidates: int = 4

    def __post_init__(self) -> None:
        """Refuse settings that no sampler can use."""
        ranges = {
            "temperature": 0 < self.temperature <= 5,  # noqa: PLR2004  beyond it all is noise
            "top-k": self.top_k >= 0,
            "top-p": 0 < self.top_p <= 1,
            "repetition-penalty": self.repetition_penalty >= 1,
            "max-new-tokens": self.max_new_tokens >= 1,
            "candidates": self.candidates >= 1,
        }
        if wrong := [name for name, right in ranges.items() if not right]:
            value = getattr(self, wrong[0].replace("-", "_"))
            raise ValueError(f"--{wrong[0]} {value} is out of range; see --help")


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat that a model learned from."""

    chat_id: int
    title: str


@dataclass(frozen=True, slots=True)
class Card:
    """What model.json says: all that a bot needs besides weights and tokenizer.

    `scores` are figures by name, such as nats a character by voice; `provenance` holds seed,
    dataset, commit and hyperparameters, for people to read.
    """

    base: str
    family: Family
    roster: Roster
    chats: tuple[Chat, ...]
    window: Window
    max_prompt_tokens: int
    decoding: Decoding = field(default_factory=Decoding)
    public: bool = False
    scores: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    prompt: str = field(default_factory=fingerprint)


@dataclass(frozen=True, slots=True)
class Artifact:
    """A trained model in a folder.

    `engine/` holds CTranslate2's files, `tokenizer.json` the vocabulary, `weights/` what training
    can go on from.
    """

    path: Path
    card: Card

    @property
    def engine(self) -> Path:
        """Return the folder that CTranslate2 loads."""
        return self.path / "engine"

    @property
    def tokenizer(self) -> Path:
        """Return the tokenizer's file."""
        return self.path / "tokenizer.json"

    @property
    def weights(self) -> Path:
        """Return the folder of full weights."""
        return self.path / "weights"


def save_card(card: Card, folder: Path) -> None:
    """Write model.json into an artifact's folder."""
    value = {
        "format": FORMAT,
        **asdict(replace(card, roster=Roster())),
        "roster": rosters.to_json(card.roster),
        "window": window_to_json(card.window),
    }
    write_text(folder / "model.json", json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def load(folder: Path) -> Artifact:
    """Read an artifact's card and make sure that this code can use the model.

    Raises:
        ArtifactError: There is none, it is incomplete, or it was made for another prompt.
    """
    card = _read_card(folder / "model.json")
    if card.prompt != fingerprint():
        raise ArtifactError(
            f"{folder} was trained with another prompt ({card.prompt}, this version's is "
            f"{fingerprint()}): train again, or use the version of understudy that made it"
        )
    artifact = Artifact(folder, card)
    for needed in (artifact.tokenizer, artifact.engine / "model.bin"):
        if not needed.is_file():
            raise ArtifactError(f"{folder} is incomplete, {needed.name} is missing: train again")
    return artifact


def content_hash(folder: Path) -> str:
    """Return the sha256, in hex, of an artifact's files and their names."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            total.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def window_to_json(window: Window) -> dict[str, float]:
    """Return a window as plain values; the gap in minutes."""
    return {
        "size": window.size,
        "gap_minutes": window.gap / timedelta(minutes=1),
        "short": window.short,
        "fill": window.fill,
    }


def window_from_json(value: Mapping[str, Any]) -> Window:
    """Read what `window_to_json` wrote."""
    gap = timedelta(minutes=value["gap_minutes"])
    return Window(int(value["size"]), gap, int(value["short"]), int(value["fill"]))


def _read_card(path: Path) -> Card:
    try:
        value = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ArtifactError(
            f"there is no model in {path.parent}: make one with `understudy train`"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} cannot be read ({error}): train again") from error
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise ArtifactError(f"{path} is not of this version's format {FORMAT}: train again")
    try:
        if value["family"] not in get_args(Family):
            raise ValueError(f"no family {value['family']!r}")  # noqa: TRY301  one way out
        for field_name, kind in (("base", str), ("max_prompt_tokens", int), ("scores", dict),
                                 ("provenance", dict), ("public", bool)):  # fmt: skip
            if not isinstance(value[field_name], kind):
                raise TypeError(f"{field_name} is {value[field_name]!r}")  # noqa: TRY301
        return Card(
            **{
                **{key: item for key, item in value.items() if key != "format"},
                "roster": rosters.from_json(value["roster"]),
                "window": window_from_json(value["window"]),
                "chats": tuple(Chat(**chat) for chat in value["chats"]),
                "decoding": Decoding(**value["decoding"]),
            }
        )
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError, RosterError) as error:
        raise ArtifactError(f"{path} is damaged ({error}): train again") from error
