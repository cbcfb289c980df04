"""Hold the models in use, find the one for a chat, and replace those whose version changes."""

import asyncio
import logging
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

from bot.services.access import find_model, index_by_chat
from bot.settings import Settings
from bot.store.groups import Group
from bot.store.names import NamesByUser
from model.artifacts.artifact import Artifact, Card
from model.artifacts.registry import Registry, describe_group_folder
from model.chat.names import make_printable
from model.chat.person import Person
from model.chat.roster import Roster, link_accounts, remove_decisions
from model.errors import UnderstudyError, describe_error
from model.joining import Propensity, read_propensity
from model.speaking.engine import share_heap
from model.speaking.speaker import Speaker

FIRST_WAIT, MAX_WAIT = 30.0, 600.0  # seconds before a version that failed to load is retried
MAX_FOLDERS_PER_CHECK = 100
"""Folders of groups that are examined in one check, 0.3 ms each. If there are more, they take
turns."""

logger = logging.getLogger(__name__)


OpenSpeaker: TypeAlias = Callable[[Artifact], Speaker]


def make_loader(settings: Settings) -> OpenSpeaker:
    """Return the function that loads the weights of a version as configured."""
    from model.speaking.speaker import open_speaker  # a test replaces the module

    share_heap()
    return partial(
        open_speaker,
        device=settings.device,
        workers=settings.parallel_replies,
        server=settings.generation_url,
    )


@dataclass(frozen=True, slots=True)
class CurrentModel:
    """The current version of a models folder.

    Its roster contains the bot's own id, and the names that Telegram has shown since the training
    run. Its roster contains no decisions. The opt-outs are in the card's roster, and people may
    have sent newer decisions to this bot; `bot/services/access.py` combines both. `propensity`
    predicts who would join in unprompted; older versions have none.
    """

    artifact: Artifact
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

    `now` is the version in use now, None if there is none. `refused` says why another one was not
    loaded. `before` is the version that was in use until now, if it was replaced. `folder` is the
    name of the folder if the model is a group's own.
    """

    now: Artifact | None
    refused: str | None = None
    before: Artifact | None = None
    folder: str | None = None


class SpeakerCache:
    """Loads speakers when they are needed, and keeps the most recently used ones.

    At most `size` are kept. One that is unloaded stays in memory until its replies have ended.
    """

    def __init__(self, open_speaker: OpenSpeaker, size: int) -> None:
        self._open, self._size = open_speaker, size
        self._speakers: OrderedDict[Path, Speaker] = OrderedDict()  # the last used one is last
        self._lock, self._loading = threading.Lock(), threading.Lock()

    def __len__(self) -> int:
        """Return how many speakers are loaded."""
        return len(self._speakers)

    def get(self, artifact: Artifact) -> Speaker:
        """Return a version's speaker; load it if necessary, which blocks.

        Raises:
            ArtifactError, OSError, RuntimeError, ValueError: It cannot be loaded.
        """
        if found := self._find(artifact.path):
            return found
        with self._loading:
            if found := self._find(artifact.path):
                return found
            with self._lock:  # before loading, so that memory never holds one more
                while len(self._speakers) >= self._size:
                    self._speakers.popitem(last=False)
            speaker = self._open(artifact)
            with self._lock:
                self._speakers[artifact.path] = speaker
            return speaker

    def unload(self, path: Path) -> None:
        """Unload the version in a folder, if it is loaded."""
        with self._lock:
            self._speakers.pop(path, None)

    def _find(self, path: Path) -> Speaker | None:
        with self._lock:
            if path in self._speakers:
                self._speakers.move_to_end(path)
            return self._speakers.get(path)


class ModelHolder:
    """Holds the version in use of one folder, and switches when another becomes current."""

    def __init__(
        self,
        registry: Registry,
        speakers: SpeakerCache,
        bot_id: int,
        folder: str | None = None,
        on_switch: Callable[[], None] = lambda: None,
    ) -> None:
        """`folder` is the name of the folder if the model is a group's own.

        `on_switch` is called right after another version, or a changed roster, is in use.
        """
        self.registry, self.folder = registry, folder
        self._speakers, self._bot_id, self._on_switch = speakers, bot_id, on_switch
        self._seen: str | None = None
        self._checking = asyncio.Lock()  # a command and the background job may check at once
        self._current: CurrentModel | None = None
        self.problem: str | None = None
        """Why the version that is current in the folder is not in use."""
        self._wait = FIRST_WAIT
        self._retry_at: float | None = None  # when to retry a version that could not be loaded

    @property
    def has_model(self) -> bool:
        """Whether a version is in use."""
        return self._current is not None

    @property
    def current(self) -> CurrentModel:
        """Return the version in use.

        Raises:
            RuntimeError: There is none yet.
        """
        if self._current is None:
            raise RuntimeError("no model is loaded")
        return self._current

    @property
    def refusal(self) -> ModelChange | None:
        """Return the problem with the version that is current in the folder, if there is one."""
        if self.problem is None:
            return None
        now = self._current.artifact if self._current else None
        return ModelChange(now, self.problem, folder=self.folder)

    async def load(self) -> CurrentModel:
        """Load the current version.

        Raises:
            ArtifactError: There is none, or it cannot be used.
        """
        self._seen = await asyncio.to_thread(self.registry.fingerprint)
        self._current = await asyncio.to_thread(self._open_current)
        self._on_switch()
        return self._current

    async def check(self, *, with_weights: bool = True) -> ModelChange | None:
        """Switch to a version that has become current; return the result, None if nothing changed.

        `with_weights` also loads it. A version that could not be loaded, perhaps for lack of
        memory, is retried after pauses that double.
        """
        loop = asyncio.get_running_loop()
        async with self._checking:
            state = await asyncio.to_thread(self.registry.fingerprint)
            is_due = self._retry_at is not None and loop.time() >= self._retry_at
            if state == self._seen and not is_due:
                return None
            before = self._current.artifact if self._current else None
            try:
                opened = await asyncio.to_thread(self._open_current, with_weights=with_weights)
            except (UnderstudyError, OSError, RuntimeError, ValueError) as error:
                is_new = state != self._seen
                self._wait = FIRST_WAIT if is_new else min(2 * self._wait, MAX_WAIT)
                self._seen, self._retry_at = state, loop.time() + self._wait
                # CTranslate2's own text, a RuntimeError, never quotes a chat
                is_own = isinstance(error, RuntimeError)
                self.problem = make_printable(str(error)) if is_own else describe_error(error)
                logger.warning("%s cannot be used: %s", self._describe(), self.problem)
                return self.refusal
            self._current = opened
            self._seen, self._retry_at, self.problem = state, None, None
            self._on_switch()
            logger.info("%s is %s now", self._describe(), opened.version)
            if before and before.path == opened.artifact.path:
                return None
            if before:
                self._speakers.unload(before.path)
            return ModelChange(opened.artifact, before=before, folder=self.folder)

    async def check_and_report(self, report: "Report", *, with_weights: bool = True) -> None:
        """Check once and report the result; the same refusal of a version is reported only once."""
        before = self.problem
        change = await self.check(with_weights=with_weights)
        if change and not (change.refused and change.refused == before):
            await report(change)

    def add_names(self, shown: NamesByUser) -> None:
        """Add the names that Telegram has shown for people to the roster in use."""
        roster = self.current.roster.with_shown_names(shown)
        if roster is not self.current.roster:
            self._current = replace(self.current, roster=roster)

    def close(self) -> None:
        """Unload the version."""
        if self._current:
            self._speakers.unload(self._current.artifact.path)

    def _describe(self) -> str:
        """Return, for the log, "the current version" or "the current version in groups/NAME"."""
        place = "" if self.folder is None else f" in {describe_group_folder(self.folder)}"
        return f"the current version{place}"

    def _open_current(self, *, with_weights: bool = True) -> CurrentModel:
        artifact = self.registry.open("current")
        is_other = self._current is None or self._current.artifact.path != artifact.path
        if with_weights and is_other:
            self._speakers.get(artifact)
        roster = remove_decisions(artifact.card.roster).with_understudy(self._bot_id)
        return CurrentModel(artifact, roster, read_propensity(artifact.path))


Report: TypeAlias = Callable[[ModelChange], Awaitable[object]]
"""Tells the admins what has changed."""


async def ignore_change(_: ModelChange) -> None:
    """Report nothing: a refusal is in the log and in `/status`."""


class ModelSet:
    """The models of a bot: the default one, and those of groups that have their own.

    A group's own model serves the chats that it learned from, and no others. The default model
    serves all other chats.
    """

    def __init__(
        self, models: Registry, open_speaker: OpenSpeaker, bot_id: int, max_loaded: int = 2
    ) -> None:
        self._bot_id = bot_id
        self.speakers = SpeakerCache(open_speaker, max_loaded)
        self.default = ModelHolder(models, self.speakers, bot_id, on_switch=self._index)
        self._groups: dict[str, ModelHolder] = {}
        self._by_chat: dict[int, ModelHolder] = {}
        self.linked_accounts: Mapping[int, frozenset[int]] = {}
        """All accounts of a person by each of them, if any roster knows more than one."""
        self.names: NamesByUser = {}
        """The names that Telegram has shown for people since the models were trained."""
        self.on_switch: list[Callable[[], object]] = []
        """Called right after a model or a roster has changed."""
        self._next_folder = 0  # of those that are checked in turns
        self._is_loaded = False  # all models were opened once

    async def load(self) -> None:
        """Load the default model, and open those of groups without their weights.

        Raises:
            ArtifactError: The default model cannot be used.
        """
        await self.default.load()
        await self._check_groups(ignore_change, with_weights=False)
        self._is_loaded = True
        self._index()

    async def check_and_report(self, report: Report) -> None:
        """Switch to versions that have become current, in any folder, and report the changes."""
        await self.default.check_and_report(report)
        await self._check_groups(report)

    @property
    def group_holders(self) -> tuple[ModelHolder, ...]:
        """Return the holders of groups' own models, sorted by folder, with or without a version."""
        return tuple(self._groups[name] for name in sorted(self._groups))

    @property
    def usable(self) -> tuple[ModelHolder, ...]:
        """Return the holders that have a version in use; the default one is first."""
        return (self.default, *(one for one in self.group_holders if one.has_model))

    def is_unusable(self, name: str | None) -> bool:
        """Whether there is a folder of this name, and no version in it can be used."""
        holder = self._groups.get(name) if name else None
        return holder is not None and not holder.has_model

    def find(self, chat_id: int, groups: Mapping[int, Group]) -> ModelHolder:
        """Return the model that serves a chat."""
        return find_model(self._by_chat, chat_id, groups) or self.default

    def find_people(self, user_id: int) -> list[Person]:
        """Return the entries for a user in the rosters of all models."""
        people = (one.current.roster.find_by_id(user_id) for one in self.usable)
        return [person for person in people if person]

    def is_new_name(self, user_id: int, name: str) -> bool:
        """Whether a user is in a roster, and this is not the name that is known as the latest."""
        last = self.names.get(user_id, ())[-1:]
        return any(
            name not in (last or {person.name, *person.names, *person.aliases})
            for person in self.find_people(user_id)
        )

    def use_names(self, shown: NamesByUser) -> None:
        """Add names that Telegram has shown for people to the rosters of all models."""
        self.names = shown
        self._index()

    async def _check_groups(self, report: Report, *, with_weights: bool = True) -> None:
        folders = await asyncio.to_thread(self.default.registry.group_folders)
        gone = self._groups.keys() - folders.keys()
        known = sorted(self._groups.keys() & folders.keys())
        new = sorted(folders.keys() - self._groups.keys())
        start = self._next_folder % max(1, len(known))
        due = [*known[start:], *known[:start]][:MAX_FOLDERS_PER_CHECK]
        self._next_folder = start + len(due)
        for name in new:
            self._groups[name] = ModelHolder(
                folders[name], self.speakers, self._bot_id, name, self._index
            )
        for name in new:
            await self._groups[name].check_and_report(report, with_weights=with_weights)
        for name in gone:  # after `new`: a folder may have been renamed
            self._groups.pop(name).close()
            self._index()
            logger.info("%s no longer has a model", describe_group_folder(name))
        for name in due:
            await self._groups[name].check_and_report(report, with_weights=with_weights)

    def _index(self) -> None:
        """Find out which model serves which chat, and who has several accounts or other names."""
        if not self._is_loaded:
            return
        for one in self.usable:
            one.add_names(self.names)
        self._by_chat = index_by_chat((one.current.card, one) for one in self.usable[1:])
        self.linked_accounts = link_accounts(
            person for one in self.usable for person in one.current.roster.people
        )
        for call in self.on_switch:
            call()
