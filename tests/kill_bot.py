"""Restart the bot's process quickly: import once, then fork for each run.

Reads lines from standard input; for each one a life of the bot begins, as `understudy-bot run`
would begin it, with settings from the environment. Writes its process id, and its exit status once
it has ended. The model is a fake that answers in bursts; all else is real.
"""

import gc
import os
import random
import re
import secrets
import sys
import time
from functools import partial
from pathlib import Path
from types import MappingProxyType

from bot import __main__ as command_line
from bot.transport import polling
from bot.transport.outgoing import Limiter
from model.artifacts.artifact import Artifact, Card, LearnedChat
from model.chat.conversation import Window
from model.chat.person import Person
from model.chat.roster import Roster
from model.speaking import speaker
from tests.habits import CHAT_ID, IDS

GROUP = -(10**12 + CHAT_ID)
FRIENDS = {number: (5000 + number, f"Friend{number}") for number in range(30)}
"""The id and the name of the person in each group who withdraws again and again."""
TAG = re.compile(r"\btag\d+\b")
SECRET = re.compile(r"\bsecret\d+x\b")
POISON = "poison"
OFTEN = 12, 4, 2, 1
"""How often a turn has one, two, three and four messages."""
LONGEST_THOUGHT = 0.03
HEARTBEAT = 0.5, 3.0
"""Seconds between two beats of a process, and after which it counts as dead."""
LIMITS = {"group_max_rate": 4, "group_time_period": 2}  # so that many messages must wait


class Speaker:
    """Answers in one to four messages: the tag of what it answers, a new word, and `2/3`.

    The word begins with `s` if a secret was in the context.
    """

    rejected = MappingProxyType({})
    tokens = 0

    def __init__(self, _artifact=None, device="auto", workers=1, server=None):
        self.chance = random.Random()

    def fork(self):
        return self

    def reply(self, context, _voice, begins="", _should_stop=None):
        time.sleep(self.chance.random() * LONGEST_THOUGHT)
        tags = TAG.findall(begins) or TAG.findall("\n".join(context)) or ["none"]
        if POISON in begins:
            os.kill(os.getpid(), 9)
        first = "s" if SECRET.search("\n".join(context)) else "w"
        word, (count,) = first + secrets.token_hex(4), self.chance.choices(range(1, 5), OFTEN)
        return tuple(f"{tags[-1]} {word} {number + 1}/{count}" for number in range(count))

    def turn(self, context, voices, begins="", _should_stop=None):
        return voices[0], self.reply(context, voices[0], begins)


class Models:
    """A models folder with one version."""

    names = ("0001-abcdef01",)

    def __init__(self, _root):
        ids = IDS | {name: number for number, name in FRIENDS.values()}
        people = tuple(Person(name, (number,), imitate="yes") for name, number in ids.items())
        card = Card(
            base="fake",
            family="encoder-decoder",
            roster=Roster(people),
            chats=(LearnedChat(GROUP, "Habits"),),
            window=Window(),
            max_prompt_tokens=512,
        )
        self.artifact = Artifact(Path(self.names[0]), card)

    def group_folders(self):
        return {}

    def open(self, _wanted="current"):
        return self.artifact

    def fingerprint(self):
        return self.names[0]


def live():
    """Run the bot until it is stopped."""
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    command_line.Registry = Models
    speaker.open_speaker = Speaker
    polling.Limiter = partial(Limiter, **LIMITS)
    if "postgresql" in os.environ["DATABASE_URL"]:
        from bot.store.postgres import job_queue, leadership  # their packages are optional

        job_queue.HEARTBEAT_SECONDS, job_queue.STALLED_SECONDS = HEARTBEAT
        leadership.TRY_SECONDS = HEARTBEAT[0]
    sys.argv = ["understudy-bot", "run"]
    command_line.main()


def main():
    gc.freeze()  # so that forks do not copy the imported modules
    for _ in sys.stdin:
        child = os.fork()
        if not child:
            live()
            raise SystemExit
        tell(child)
        _, status = os.waitpid(child, 0)
        tell(os.waitstatus_to_exitcode(status))


def tell(number):
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
