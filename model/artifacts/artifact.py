"""A trained model on disk: model.json, roster, weights."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from model.chat import roster as rosters
from model.chat.conversation import Window, window_from_json, window_to_json
from model.chat.names import escape_control_characters, make_json_printable
from model.chat.prompt import fingerprint
from model.chat.roster import Roster
from model.errors import ArtifactError, RosterError, describe_error
from model.files import write_text
from model.options import check_options, option

FORMAT = 2
CARD = "model.json"
ROSTER = "roster.json"
COPY_INDEX = "lines.index"
VOICE_TABLE = "voices.index"
SCORECARD = "scorecard.json"
Scorecard = Mapping[str, Any]
"""The content of scorecard.json."""
Family = Literal["encoder-decoder", "decoder-only"]
_MAX_PROMPT_TOKENS = 1_000_000
_option = partial(option, panel="Sampling")
_weight = partial(_option, least=0, most=100)


@dataclass(frozen=True, slots=True)
class Decoding:
    """How replies are sampled, and how one of several candidates is chosen.

    Top-k and top-p are those of the original notebook. The repetition penalty is 1.0
    because CTranslate2 counts all tokens of a reply, newlines too: at 1.1 the probability of a
    turn's second newline fell from 20 % to 2 %, although people continue in 60 % of the cases.
    `model/speaking/candidates.py` rejects replies that repeat themselves.

    A single candidate is sent as it is. Of several, the one with the highest weighted sum of three
    scores is sent. `context_weight` multiplies the context gain, log p(reply | context) − log
    p(reply) in nats, divided by tokens ** length_power. `voice_weight` multiplies the log-odds of
    the voice under a classifier. `length_weight` multiplies the log-density of the reply's length
    for the voice, in nats.
    """

    temperature: float = _option(
        1.0, "Temperature (0.1 = cautious, 1 = as trained)", above=0, most=5
    )
    top_k: int = _option(50, "Sample from the N likeliest tokens; 0 = all", least=0, most=1_000_000)
    top_p: float = _option(
        0.95, "Sample from the likeliest tokens up to this probability", above=0, most=1
    )
    repetition_penalty: float = _option(
        1.0, "Penalty for repeated words; 1 = none", least=1, most=10
    )
    max_new_tokens: int = _option(96, "Maximum tokens of a reply", least=1, most=1_024)
    candidates: int = _option(8, "Candidates to generate; the best one is used", least=1, most=64)
    voice_weight: float = _weight(0.5, "Weight of the voice score when ranking candidates")
    context_weight: float = _weight(0.1, "Weight of the context score when ranking candidates")
    length_power: float = _weight(0.5, "Length normalisation: 0 = none, 1 = per token", most=1)
    length_weight: float = _weight(0.0, "Weight of the length score when ranking candidates")

    def __post_init__(self) -> None:
        """Refuse settings outside the sampler's ranges.

        Raises:
            ValueError: One has a wrong type or is out of range.
        """
        check_options(self)


@dataclass(frozen=True, slots=True)
class LearnedChat:
    """A chat in a model's training data."""

    chat_id: int
    title: str


@dataclass(frozen=True, slots=True)
class Card:
    """The contents of model.json and roster.json: everything except weights and tokenizer.

    `scores` are figures by name, such as nats per character by voice; `provenance` holds seed,
    dataset, commit, hyperparameters and the number of lines by voice, for people to read. `learned`
    lists the voices that the weights know, by default the roster's voices.
    """

    base: str
    family: Family
    roster: Roster
    chats: tuple[LearnedChat, ...]
    window: Window
    max_prompt_tokens: int
    decoding: Decoding = field(default_factory=Decoding)
    public: bool = False
    scores: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    prompt: str = field(default_factory=fingerprint)
    learned: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Set the default of `learned`."""
        if not self.learned:
            names = tuple(person.name for person in self.roster.voices)
            object.__setattr__(self, "learned", names)

    def count_lines(self, name: str) -> int | None:
        """Return how many lines by this person the model was trained on, or None if unknown."""
        voices = self.provenance.get("voices")
        lines = voices.get(name) if isinstance(voices, dict) else None
        return lines if isinstance(lines, int) else None


@dataclass(frozen=True, slots=True)
class Artifact:
    """A trained model in a folder."""

    path: Path
    card: Card

    @property
    def engine(self) -> Path:
        """Return the folder with CTranslate2's files."""
        return self.path / "engine"

    @property
    def tokenizer(self) -> Path:
        """Return the path of the tokenizer."""
        return self.path / "tokenizer.json"

    @property
    def weights(self) -> Path:
        """Return the folder of full weights, from which training can continue."""
        return self.path / "weights"

    @property
    def copy_index(self) -> Path:
        """Return the path of the hashed index of training messages; older artifacts have none."""
        return self.path / COPY_INDEX

    @property
    def voice_table(self) -> Path:
        """Return the path of the classifier of turns by voice; older artifacts have none."""
        return self.path / VOICE_TABLE


def save_card(card: Card, folder: Path) -> None:
    """Write model.json and roster.json into an artifact's folder."""
    value = {
        "format": FORMAT,
        **asdict(replace(card, roster=Roster())),
        "window": window_to_json(card.window),
    }
    del value["roster"]
    save_roster(card.roster, folder)
    write_text(folder / CARD, _render_json(value))


def save_roster(roster: Roster, folder: Path) -> None:
    """Write roster.json into an artifact's folder."""
    write_text(folder / ROSTER, render_roster(roster))


def render_roster(roster: Roster) -> str:
    """Return the text of roster.json."""
    return _render_json(rosters.roster_to_json(roster))


def load_artifact(folder: Path) -> Artifact:
    """Read an artifact's card and check that this code can use the model.

    Raises:
        ArtifactError: There is none, it is incomplete, or it was trained with another prompt
        format.
    """
    card = _read_card(folder / CARD)
    if card.prompt != fingerprint():
        raise ArtifactError(
            f"{folder} was trained with another prompt format ({card.prompt}, this version uses "
            f"{fingerprint()}): train again, or use the version of Understudy that trained it"
        )
    artifact = Artifact(folder, card)
    for required in (folder / ROSTER, artifact.tokenizer, artifact.engine / "model.bin"):
        if not required.is_file():
            raise ArtifactError(f"{folder} is incomplete, {required.name} is missing: train again")
    try:
        roster = rosters.roster_from_json(_read_json(folder / ROSTER))
    except RosterError as error:
        raise ArtifactError(
            f"{folder / ROSTER} is damaged ({describe_error(error)}): train again"
        ) from error
    return Artifact(folder, replace(card, roster=roster))


def compute_content_hash(folder: Path) -> str:
    """Return the sha256, in hex, of an artifact's files and their names.

    It excludes roster.json and scorecard.json, which change after training, and hidden files, which
    a killed write leaves.
    """
    excluded = {folder / ROSTER, folder / SCORECARD}
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path not in excluded and not path.name.startswith("."):
            total.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def _render_json(value: Mapping[str, Any]) -> str:
    return escape_control_characters(json.dumps(value, ensure_ascii=False, indent=1)) + "\n"


def _read_json(path: Path) -> Any:  # noqa: ANN401  JSON's border
    """Read a file of a model, which may be from somebody else, without control characters."""
    try:
        return make_json_printable(json.loads(path.read_text("utf-8")))
    except FileNotFoundError as error:
        raise ArtifactError(
            f"there is no model in {path.parent}: train one with `understudy start`"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(
            f"{path} cannot be read ({describe_error(error)}): train again"
        ) from error


def _read_card(path: Path) -> Card:
    """Read model.json, with an empty roster."""
    value = _read_json(path)
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise ArtifactError(
            f"{path} is not in format {FORMAT}, which this version needs: train again"
        )
    try:
        return Card(
            roster=Roster(), decoding=_parse_decoding(value["decoding"], path),
            **_parse_card_fields(value),
        )  # fmt: skip
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise ArtifactError(f"{path} is damaged ({describe_error(error)}): train again") from error


def _parse_card_fields(value: Mapping[str, Any]) -> dict[str, Any]:
    if value["family"] not in get_args(Family):
        raise ValueError(f"unknown family {value['family']!r}")
    for name, kind in (("base", str), ("max_prompt_tokens", int), ("scores", dict),
                       ("provenance", dict), ("public", bool), ("prompt", str)):  # fmt: skip
        if not isinstance(value[name], kind):
            raise TypeError(f"{name} is {value[name]!r}")
    if not all(isinstance(name, str) for name in value["learned"]):
        raise TypeError(f"learned is {value['learned']!r}")
    if not 0 < value["max_prompt_tokens"] <= _MAX_PROMPT_TOKENS:
        raise ValueError(f"max_prompt_tokens is {value['max_prompt_tokens']}")
    for chat in value["chats"]:
        if type(chat["chat_id"]) is not int or not isinstance(chat["title"], str):
            raise TypeError(f"a chat is {chat!r}")
    _check_records(value["scores"], value["provenance"])
    return {
        **{key: item for key, item in value.items() if key not in {"format", "decoding"}},
        "window": window_from_json(value["window"]),
        "chats": tuple(LearnedChat(**chat) for chat in value["chats"]),
        "learned": tuple(value["learned"]),
    }


def _parse_decoding(value: Mapping[str, Any], path: Path) -> Decoding:
    if wrong := [name for name, one in value.items() if type(one) not in {int, float}]:
        raise TypeError(f"{wrong[0]} is not a number")
    try:
        return Decoding(**value)
    except ValueError as error:
        reason = str(error).partition(";")[0]
        raise ArtifactError(f"{path} has settings that cannot be used ({reason})") from error


def _check_records(scores: Mapping[str, Any], provenance: Mapping[str, Any]) -> None:
    """Check the parts of scores and provenance that programs read.

    Raises:
        TypeError: A part has another type.
    """
    for name in ("dataset", "hyperparameters", "requested", "voices"):
        if not isinstance(provenance.get(name, {}), dict):
            raise TypeError(f"{name} is {provenance[name]!r}")
    dataset = provenance.get("dataset", {})
    for name in ("folder", "sha256"):
        if not isinstance(dataset.get(name, ""), str):
            raise TypeError(f"the dataset's {name} is {dataset[name]!r}")
    if not isinstance(provenance.get("canaries") or [], list):
        raise TypeError(f"canaries is {provenance['canaries']!r}")
    nats = scores.get("nats_per_character", {})
    losses = [nats.get("whole") or {}, nats.get("fresh") or {}, *nats.get("voices", {}).values()]
    numbers = [number for loss in losses for number in loss.values()]
    if wrong := [number for number in numbers if type(number) not in {int, float}]:
        raise TypeError(f"a loss is {wrong[0]!r}")
