"""State that all handlers share: settings, model, store, groups, decisions."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from bot.services.access import (
    ANY_PRIVATE_CHAT,
    Access,
    build_access,
    find_later_ids,
    find_own_chat,
)
from bot.services.model_holder import CurrentModel, ModelHolder, ModelSet
from bot.services.replies import Replies
from bot.services.supervisor import Supervisor
from bot.settings import Settings
from bot.store import Store
from bot.store.changes import ChangeKind
from bot.store.groups import DecisionsByUser, Group, StoredDecision
from bot.store.local_queue import LocalQueue
from bot.store.messages import Place
from bot.store.update_queue import UpdateQueue
from bot.texts.en import Wording
from model.chat.names import make_printable_name
from model.chat.person import DecisionKind
from model.chat.roster import Roster
from model.version import VERSION

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class BotState:
    """The bot's state while it runs; changes are stored before they take effect."""

    settings: Settings
    models: ModelSet
    store: Store
    replies: Replies = field(init=False)
    groups: dict[int, Group] = field(default_factory=dict)
    decisions: DecisionsByUser = field(default_factory=dict)
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    jobs: Supervisor = field(default_factory=Supervisor)
    admin_texts: dict[int, Wording] = field(default_factory=dict)  # in each admin's language
    turn_stoppers: list[Callable[[int], None]] = field(default_factory=list)
    """Called with a chat's id to stop the turns that this process sends to it."""
    queue: UpdateQueue = field(init=False)
    is_current: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared while changes by other processes may be missed."""
    loading: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while something is read again, so that what was read last stays."""
    _access: dict[tuple[ModelHolder, int], Access] = field(default_factory=dict)
    """The permissions in each chat with its model; built when they are needed."""
    _later: dict[int, int] = field(default_factory=dict)
    """The ids of supergroups by those of the basic groups that they were."""

    def __post_init__(self) -> None:
        """Build the queue, and what generates replies: it asks this state for a chat's model."""
        speakers, parallel = self.models.speakers, self.settings.parallel_replies
        self.replies = Replies(self.model_in, speakers, self.store.messages, parallel)
        self.queue = self.store.inbox.queue = LocalQueue(self.store.inbox)

    async def open(self) -> None:
        """Load the current models, the groups, the decisions and people's names."""
        self.models.on_switch.append(self._access.clear)
        await self.models.load()
        await self.reload()
        if not self.is_shared:
            await self.record_model_folders()
        self.is_current.set()

    async def reload(self) -> None:
        """Load the groups, the decisions and people's names."""
        async with self.loading:
            self.groups = await self.store.groups.all()
            self._later = find_later_ids(self.groups)
            self.decisions = await self.store.decisions.all()
            self.models.use_names(await self.store.names.all())
            self._access.clear()

    @property
    def is_shared(self) -> bool:
        """Whether other processes may change the same database."""
        return self.store.database.backend.is_shared

    async def reload_group(self, chat_id: int) -> None:
        """Reload a group from the database if another process may have changed it just now."""
        if self.is_shared:
            await self._load_group(chat_id)

    async def _load_group(self, number: int) -> None:
        async with self.loading:
            if group := await self.store.groups.find(number):
                self._note_group(group)

    def _note_group(self, group: Group) -> None:
        before = self.groups.get(group.chat_id)
        self.groups[group.chat_id] = group
        if group.moved_from is not None and (before is None or not before.moved_from):
            self._later[group.moved_from] = group.chat_id
            self._access.clear()

    async def _load_decisions(self) -> None:
        async with self.loading:
            self.decisions = await self.store.decisions.all()
            self._access.clear()

    async def load_names(self) -> None:
        """Load the names that Telegram showed for people."""
        async with self.loading:
            self.models.use_names(await self.store.names.all())

    async def delete_strangers_names(self) -> None:
        """Delete the names of people who are no longer in the roster of any model.

        A model that cannot be used now may have them in its roster, so nothing is deleted then.
        """
        if not all(one.has_model for one in self.models.group_holders):
            return
        gone = [number for number in self.models.names if not self.models.find_people(number)]
        if gone:
            await self.store.names.delete(gone)
            await self.load_names()

    async def may_still_imitate(self, chat_id: int, person_id: int) -> bool:
        """Whether the person in whose voice something is sent still agrees."""
        if self.is_shared:
            await self._reload_decisions(person_id)
        person = self.access_in(chat_id).roster.find_by_id(person_id)
        return person is not None and self.access_in(chat_id).may_imitate(person)

    async def _reload_decisions(self, person_id: int) -> None:
        """Reload a person's decisions: other processes' notifications arrive with a delay."""
        async with self.loading:
            told = await self.store.decisions.find(self.find_accounts(person_id))
            found = {**self.decisions, **told}
            if found != self.decisions:
                self.decisions = found
                self._access.clear()

    async def apply_change(self, kind: ChangeKind, number: int) -> None:
        """Load what a process has changed, or stop a chat's turns; see `bot.store.changes`."""
        if kind == "group":
            await self._load_group(number)
        elif kind == "decision":
            await self._load_decisions()
        elif kind == "names":
            await self.load_names()
        else:
            for stop in self.turn_stoppers:
                stop(number)

    async def count_replies(self, chat_id: int) -> int:
        """Return how many replies to a chat are waiting or being generated, in all processes."""
        return max(self.replies.pending_in(chat_id), await self.queue.count_replies(chat_id))

    def holder_in(self, chat_id: int) -> ModelHolder:
        """Return the holder of the model that serves a chat."""
        return self.models.find(self._later.get(chat_id, chat_id), self.groups)

    def model_in(self, chat_id: int) -> CurrentModel:
        """Return the model that serves a chat."""
        return self.holder_in(chat_id).current

    def is_without_model(self, chat_id: int) -> bool:
        """Whether a group's own model cannot be used now, so that the bot is silent there."""
        group = self.groups.get(self._later.get(chat_id, chat_id))
        is_known = group is not None and self.models.is_unusable(group.model_folder)
        return is_known and self.holder_in(chat_id) is self.models.default

    def access_in(self, chat_id: int) -> Access:
        """Return the permissions in a chat, which follow from the model that serves it."""
        if self.is_without_model(chat_id):
            return Access(Roster(), frozenset(), self.settings.admins, self.settings.consent)
        return self._build_access(self.holder_in(chat_id), chat_id)

    def access_of(self, holder: ModelHolder) -> Access:
        """Return the permissions in the chat that a model learned from."""
        return self._build_access(holder, find_own_chat(holder.current.card))

    def _build_access(self, holder: ModelHolder, chat_id: int) -> Access:
        chat_id = ANY_PRIVATE_CHAT if chat_id > 0 else self._later.get(chat_id, chat_id)
        if (access := self._access.get((holder, chat_id))) is None:
            model = holder.current
            access = self._access[holder, chat_id] = build_access(
                model.card, model.roster, self.settings, self.decisions, self.groups,
                self.models.linked_accounts, chat_id, is_default=holder.folder is None,
            )  # fmt: skip
        return access

    def may_speak_in(self, chat_id: int) -> bool:
        """Whether the bot may speak in a chat."""
        return self.access_in(chat_id).may_speak_in(chat_id)

    def is_in_group_model(self, user_id: int) -> bool:
        """Whether a group's own model was trained on somebody's messages."""
        return any(one.current.roster.find_by_id(user_id) for one in self.models.usable[1:])

    def find_accounts(self, user_id: int) -> frozenset[int]:
        """Return the ids of all of a person's accounts, according to the rosters of all models."""
        return self.models.linked_accounts.get(user_id, frozenset({user_id}))

    async def record_model_folders(self) -> None:
        """Store which groups have their own models, so that it is known without the models.

        Of several processes only the leading one does this: they may see different folders.
        """
        for group in [*self.groups.values()]:
            if (changed := self._with_model_folder(group)) != group:
                await self.save_group(changed)

    def _with_model_folder(self, group: Group) -> Group:
        """Return a group with the folder of its own model, which is kept while it is unusable."""
        chat_id = self._later.get(group.chat_id, group.chat_id)
        now = group if chat_id == group.chat_id else self.group(chat_id)
        folder = self.models.find(chat_id, {chat_id: now}).folder
        if folder is None and self.models.is_unusable(group.model_folder):
            return group
        return replace(group, model_folder=folder)

    def origin_in(self, chat_id: int) -> str:
        """Return the titles of the chats that the model of a chat learned from."""
        card = self.model_in(chat_id).card
        return ", ".join(make_printable_name(chat.title) for chat in card.chats)

    def group(self, chat_id: int) -> Group:
        """Return a group, with default values if it is unknown."""
        return self.groups.get(chat_id) or Group(chat_id)

    def group_to_change(self, chat_id: int) -> Group:
        """Return a group to be stored; a new one is authorised if the bot may speak in it."""
        fresh = Group(chat_id, authorised=self.may_speak_in(chat_id))
        return self.groups.get(chat_id) or fresh

    async def save_group(self, group: Group) -> None:
        """Store what changed in a group; another process may have changed something else in it."""
        if not self.is_shared:
            group = self._with_model_folder(group)
        await self.store.groups.save(group, self.groups.get(group.chat_id))
        if self.is_shared:
            await self._load_group(group.chat_id)
        else:
            self._note_group(group)

    def current_place(self, place: Place) -> Place:
        """Return a place with its current id: a group that became a supergroup has a new id."""
        return Place(self._later.get(place.chat_id, place.chat_id), place.topic_id)

    async def move(self, old: int, new: int, title: str | None = None) -> None:
        """Move a group's data to the supergroup that it became."""
        there = self.group(new)
        if there.moved_from == old:
            return
        known = self.groups.get(old) or Group(old, title=title)
        let_in = known.authorised or self.may_speak_in(old) or there.authorised
        await self.save_group(replace(known, chat_id=new, authorised=let_in, moved_from=old))
        logger.info("chat %d is now %d", old, new)

    async def save_decision(
        self, chat_id: int, user_id: int, decision: DecisionKind, update_id: int
    ) -> None:
        """Store a decision that came with an update; it applies at once."""
        now = datetime.now(UTC)
        await self.store.decisions.add(StoredDecision(user_id, decision, now, chat_id, update_id))
        await self._load_decisions()

    async def health(self) -> dict[str, Any]:
        """Return version, model, failing jobs and waiting updates; `ok` is False if a job fails.

        Raises:
            StoreError: The database cannot be read.
        """
        failing = [job.name for job in self.jobs.failing]
        return {
            "ok": not failing,
            "version": VERSION,
            "model": self.models.default.current.version,
            "jobs_failing": failing,
            "updates_waiting": (await self.store.inbox.count_open()).waiting,
        }
