"""The interface of the update queue, and the order in which it handles updates.

An update is handled in one or two stages. `receive` stores its message and decides what it changes;
it sends nothing. If an answer is wanted, a second stage sends it, so that nobody's messages wait
while the model generates or Telegram is slow. Each stage has lanes. Stages in one lane run one
after another, in the order in which they were added; others run side by side.

`bot.store.local_queue` is the queue of an SQLite file, `bot.store.postgres.job_queue` that of a
server.

| stage      | for                                                | lane              |
|------------|----------------------------------------------------|-------------------|
| receive    | every update: its message, its blocking handlers   | its chats         |
| answer     | commands that need no model, such as /help         | answer, chat      |
| refuse     | an update of a chat in which the bot is silent     | answer, chat      |
| membership | greeting a group, or leaving a chat                | membership, chat  |
| erasure    | /optout, /forget                                   | erasure, person   |
| stop       | /stop, which never waits                           | none              |
| reply      | one turn of the model                              | reply, chat       |
| simulation | /simulate                                          | simulation, chat  |
| join       | a message that the bot may answer unprompted       | join, chat        |
| busy       | a reply or simulation, if too many wait            | answer, chat      |
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from sqlalchemy import Connection

from bot.store.updates import MOVES, find_chat_id, find_voter_id

AnswerKind: TypeAlias = Literal[
    "answer", "refuse", "membership", "erasure", "stop", "reply", "simulation", "join"
]
"""How an update is answered, if it is."""

Stage: TypeAlias = Literal["receive", "busy"] | AnswerKind

MAX_JOBS_IN_CHAT: Mapping[Stage, int] = {"reply": 3, "simulation": 1}
"""The maximum number of waiting and running jobs of a stage in a chat, across all processes."""
QUEUE_OF_STAGE: Mapping[Stage, str] = {
    "receive": "receive", "answer": "answer", "busy": "answer", "refuse": "answer",
    "membership": "answer", "erasure": "answer", "stop": "stop", "reply": "reply",
    "simulation": "simulation", "join": "simulation",
}  # fmt: skip
"""The queue of each stage. Waiting jobs are counted by queue; each process has workers for each."""
STOP_SECONDS = 10.0
"""Seconds for which a stop waits for running jobs."""
RETRY_SECONDS = 5.0
"""Seconds until a stage that could not be stored, for example on a full disk, is retried."""


@dataclass(frozen=True, slots=True)
class Job:
    """One stage of one update."""

    update_id: int
    stage: Stage = "receive"


Handle: TypeAlias = Callable[[Job], Awaitable[None]]
"""Handles a job to its end. Raises StoppingError or StoreError if it must be retried."""


class UpdateQueue(Protocol):
    """The waiting updates of a bot; its methods raise StoreError if the database fails."""

    def add(self, connection: Connection, updates: Sequence[Mapping[str, Any]]) -> None:
        """Add new updates, in the transaction that stores them."""

    def announce(self, updates: Sequence[Mapping[str, Any]]) -> None:
        """Handle new updates, after the transaction that stored them."""

    async def add_answer(
        self, update_id: int, chat_id: int, user_id: int, kind: AnswerKind
    ) -> None:
        """Add the second stage of an update, or the stage `busy` if too many wait in its chat.

        A queue in memory loses it in a kill; the update then starts again with its first stage.
        """

    async def close(self, update_id: int) -> None:
        """Record that an update has been handled.

        This may return before it is stored; after a kill the update is handled again.
        """

    async def cancel_replies(self, chat_id: int) -> None:
        """End the updates of a chat whose replies are waiting, or whose process has died."""

    async def count_replies(self, chat_id: int) -> int:
        """Return how many replies and simulations for a chat are waiting or running."""

    async def count_jobs(self) -> Mapping[str, int]:
        """Return how many jobs are waiting, by queue."""

    async def start(self, handle: Handle) -> None:
        """Begin to handle jobs, first those that an earlier process left."""

    async def stop(self) -> None:
        """Handle no further jobs; wait for those that run, for some seconds at most."""


def find_lanes(update: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the lanes of an update's first stage.

    A group that becomes a supergroup has both ids. The answer to a poll has the lane of the person.
    """
    message = update.get("message")
    moves = message if isinstance(message, dict) else {}
    ids = [find_chat_id(dict(update)), moves.get(MOVES[0]), moves.get(MOVES[1])]
    chats = [one for one in ids if isinstance(one, int)]
    numbers = dict.fromkeys(chats) or [find_voter_id(dict(update))]
    return tuple(f"receive {number}" for number in numbers)


def choose_stage(
    kind: AnswerKind, chat_id: int, user_id: int, count: Callable[[str], int]
) -> tuple[Stage, str | None]:
    """Return the second stage of an update, and its lane; None if it never waits.

    `count` returns how many jobs are waiting or running in a lane.
    """
    lane = _find_answer_lane(kind, chat_id, user_id)
    most = MAX_JOBS_IN_CHAT.get(kind)
    if most is not None and lane and count(lane) >= most:
        return "busy", _find_answer_lane("busy", chat_id, user_id)
    return kind, lane


def _find_answer_lane(stage: Stage, chat_id: int, user_id: int) -> str | None:
    if stage == "stop":
        return None
    if stage == "erasure":
        return f"erasure {user_id}"
    return f"{'answer' if stage in {'busy', 'refuse'} else stage} {chat_id}"


def find_reply_lanes(chat_id: int) -> list[str]:
    """Return the lanes of a chat whose stages are limited in number."""
    return [f"{stage} {chat_id}" for stage in MAX_JOBS_IN_CHAT]
