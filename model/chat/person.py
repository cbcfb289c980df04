"""A person of a chat: names, ids, and what they and the admin decided."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, get_args

from model.chat.names import clean_name
from model.errors import RosterError

Learn = Literal["yes", "no"]
Imitate = Literal["yes", "no", "ask"]
DecisionKind = Literal["optin", "optout"]


@dataclass(frozen=True, slots=True)
class Decision:
    """An `/optin` or `/optout` of a user, with its time, and the chat in which it counts.

    Without a chat, an `/optin` only cancels an earlier `/optout`.
    """

    user_id: int
    kind: DecisionKind
    at: datetime
    chat_id: int | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """A friend: `name` is the name in prompts, `names` are all names that Telegram showed.

    `quiet` people wrote too few messages to be a voice; the model still learns from them.
    `opted_out` are the `/optout`s of their accounts that still apply: `imitate` is "no" only
    because of them, and a newer `/optin` cancels it.
    """

    name: str
    ids: tuple[int, ...]
    names: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    learn: Learn = "yes"
    imitate: Imitate = "ask"
    quiet: bool = False
    opted_out: tuple[Decision, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a name that is not allowed in prompts, and unknown or inconsistent answers."""
        if self.name != clean_name(self.name):
            raise RosterError(
                f"the name {self.name!r} is not allowed in prompts: use {clean_name(self.name)!r}"
            )
        if self.learn not in get_args(Learn) or self.imitate not in get_args(Imitate):
            raise RosterError(
                f'{self.name}: learn must be "yes" or "no", imitate "yes", "no" or "ask"; '
                f'they are "{self.learn}" and "{self.imitate}"'
            )
        if self.opted_out and self.imitate != "no":
            raise RosterError(f'{self.name}: opted_out needs imitate = "no"')
        if any(
            decision.kind != "optout" or decision.user_id not in self.ids
            for decision in self.opted_out
        ):
            raise RosterError(f"{self.name}: opted_out must have this person's own ids")

    @property
    def may_be_target(self) -> bool:
        """Whether a model may learn to speak as this person."""
        return self.learn == "yes" and self.imitate != "no" and not self.quiet

    @property
    def has_no(self) -> bool:
        """Whether this person's messages must not be used, or they must not be imitated."""
        return "no" in {self.learn, self.imitate}

    @property
    def why_silent(self) -> str:
        """Return why this person is not a voice, as the predicate of a sentence; "" for a voice."""
        if self.opted_out:
            last = max(decision.at for decision in self.opted_out)
            return f"sent /optout to the bot on {last:%Y-%m-%d}"
        if self.learn == "no":
            return 'is excluded (learn = "no")'
        if self.imitate == "no":
            return 'may not be imitated (imitate = "no")'
        return "wrote too few messages to be a voice" if self.quiet else ""

    def with_names(self, names: Iterable[str]) -> "Person":
        """Return this person with further names that Telegram showed."""
        return replace(self, names=tuple(dict.fromkeys((*self.names, *names))))

    def with_shown_names(self, shown: Mapping[int, Iterable[str]]) -> "Person":
        """Return this person with the names that Telegram showed for their ids, latest last."""
        names = list(dict.fromkeys(name for number in self.ids for name in shown.get(number, ())))
        earlier = (name for name in self.names if name not in names)
        return replace(self, names=(*earlier, *names))

    @property
    def is_only_quiet(self) -> bool:
        """Whether this person would be a voice with more messages."""
        return self.quiet and self.learn == "yes" and self.imitate != "no"
