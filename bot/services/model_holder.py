"""Hold the current model and replace it when a new version is promoted."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, TypeAlias

from model.artifacts.artifact import Artifact, Card
from model.chat.names import make_printable
from model.chat.roster import Roster, remove_decisions
from model.errors import UnderstudyError, describe_error
from model.joining import Propensity, read_propensity

FIRST_WAIT, MAX_WAIT = 30.0, 600.0  # seconds before a version that failed to load is retried

logger = logging.getLogger(__name__)


class Models(Protocol):
    """The trained versions: `model.artifacts.registry.Registry`."""

    @property
    def names(self) -> list[str]:
        """The versions, oldest first."""

    def rollback(self) -> str:
        """Make the previous version the current one; return its name.

        Raises:
            ArtifactError: No version that was current before still exists.
        """

    def fingerprint(self) -> str:
        """Return a value that changes with the current version and its files."""

    def open(self, wanted: str = "current") -> Artifact:
        """Open a version.

        Raises:
            ArtifactError: There is none, or it cannot be used.
        """


ShouldStop: TypeAlias = Callable[[], bool]
"""Called after each token; generation stops if it returns True."""


class Speaker(Protocol):
    """A trained model; its methods block."""

    @property
    def rejected(self) -> Mapping[str, int]:
        """How many candidates of the last turn were rejected, by reason."""

    @property
    def tokens(self) -> int:
        """The number of tokens of all candidates of the last turn."""

    def fork(self) -> Self:
        """Return a speaker with the same weights for another thread, with counts of its own."""

    def reply(
        self,
        context: Sequence[str],
        voice: str,
        begins: str = "",
        should_stop: ShouldStop | None = None,
    ) -> tuple[str, ...]:
        """Return the messages of one turn of `voice`; the turn begins with the words `begins`.

        Raises:
            GenerationStopped: `should_stop` returned True.
            VoiceError: No candidate was acceptable.
        """

    def turn(
        self,
        context: Sequence[str],
        voices: Sequence[str],
        begins: str = "",
        should_stop: ShouldStop | None = None,
    ) -> tuple[str, tuple[str, ...]]:
        """Return which of `voices` speaks next, and the messages of that turn.

        Raises:
            GenerationStopped: `should_stop` returned True.
            VoiceError: No candidate was acceptable in any of the voices.
        """


OpenSpeaker: TypeAlias = Callable[[Artifact], Speaker]


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A loaded version; its roster contains the bot's own id.

    Its roster holds no decisions. The opt-outs are in the card's roster, and people may have sent
    newer decisions to this bot; `bot/services/access.py` combines both. `propensity` predicts who
    would join in unprompted; older versions have none.
    """

    artifact: Artifact
    speaker: Speaker
    roster: Roster
    propensity: Propensity | None = None

    @property
    def card(self) -> Card:
        """Return the version's card."""
        return self.artifact.card

    @property
    def version(self) -> str:
        """Return the version's name."""
        return self.artifact.path.name


@dataclass(frozen=True, slots=True)
class ModelChange:
    """The result of a check for another version.

    `version` is the version in use now. `refused` says why another one was not loaded. `before` is
    the version that was in use until now, if it was replaced.
    """

    version: str
    refused: str | None = None
    before: Artifact | None = None


class ModelHolder:
    """Holds the loaded version, and replaces it when another usable one becomes current."""

    def __init__(self, models: Models, open_speaker: OpenSpeaker, bot_id: int) -> None:
        self.models = models
        self._open, self.bot_id = open_speaker, bot_id
        self._seen = ""
        self._checking = asyncio.Lock()  # a command and the background job may check at once
        self._current: LoadedModel | None = None
        self._last_reason: str | None = None
        self._wait = FIRST_WAIT
        self._retry_at: float | None = None  # when to retry a version that could not be loaded

    @property
    def current(self) -> LoadedModel:
        """Return the loaded version.

        Raises:
            RuntimeError: Nothing was loaded yet.
        """
        if self._current is None:
            raise RuntimeError("no model is loaded")
        return self._current

    async def load(self) -> LoadedModel:
        """Load the current version.

        Raises:
            ArtifactError: There is none, or it cannot be used.
        """
        self._seen = await asyncio.to_thread(self.models.fingerprint)
        self._current = await asyncio.to_thread(self._load_current)
        return self._current

    async def check(self) -> ModelChange | None:
        """Load a version that has become current; return the result, or None if nothing changed.

        A version that could not be loaded, perhaps for lack of memory, is tried again after pauses
        that double.
        """
        loop = asyncio.get_running_loop()
        async with self._checking:
            state = await asyncio.to_thread(self.models.fingerprint)
            is_due = self._retry_at is not None and loop.time() >= self._retry_at
            if state == self._seen and not is_due:
                return None
            before, earlier = self.current.artifact, self.current.version
            try:
                self._current = await asyncio.to_thread(self._load_current)
            except (UnderstudyError, OSError, RuntimeError, ValueError) as error:
                is_new = state != self._seen
                self._wait = FIRST_WAIT if is_new else min(2 * self._wait, MAX_WAIT)
                self._seen, self._retry_at = state, loop.time() + self._wait
                logger.warning("the current version cannot be used: %s continues", earlier)
                # CTranslate2's own text, a RuntimeError, never quotes a chat
                is_own = isinstance(error, RuntimeError)
                reason = make_printable(str(error)) if is_own else describe_error(error)
                return ModelChange(earlier, reason)
            self._seen, self._retry_at, self._last_reason = state, None, None
            logger.info("version %s has replaced version %s", self.current.version, earlier)
            is_other = self.current.version != earlier
            return ModelChange(self.current.version, before=before) if is_other else None

    async def check_and_report(self, report: Callable[[ModelChange], Awaitable[object]]) -> None:
        """Check once and report the result; the same refusal of a version is reported only once."""
        change = await self.check()
        if change is None or (change.refused and change.refused == self._last_reason):
            return
        self._last_reason = change.refused
        await report(change)

    def _load_current(self) -> LoadedModel:
        artifact = self.models.open("current")
        same = self._current and self._current.artifact.path == artifact.path
        speaker = self._current.speaker if self._current and same else self._open(artifact)
        roster = remove_decisions(artifact.card.roster).with_understudy(self.bot_id)
        return LoadedModel(artifact, speaker, roster, read_propensity(artifact.path))
