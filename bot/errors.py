"""The bot's exceptions, in addition to the model's.

Each says what happened and what to do; the command line prints that in one line.
"""

from model.errors import UnderstudyError


class SettingsError(UnderstudyError):
    """A setting is missing or invalid."""


class StoreError(UnderstudyError):
    """A database cannot be used, written or copied."""


class SupersededError(StoreError):
    """Another process handles the update, because this one was silent for too long."""


class StoppingError(UnderstudyError):
    """The bot is stopping; waiting work continues after a restart."""


class DumpError(UnderstudyError):
    """A dump cannot be written: the chat or the file is unclear."""


class TelegramUnreachable(UnderstudyError):  # noqa: N818  a state, not a mistake of ours
    """The Bot API does not answer, or rejects the token."""


class BotNotRunning(UnderstudyError):  # noqa: N818  a state, not a mistake of ours
    """The bot, or a task that it needs, has stopped, is starting, or hangs."""


class SetupError(UnderstudyError):
    """A file for running the bot cannot be created for this machine."""


class ExportRefused(UnderstudyError):  # noqa: N818  a verdict on a file, not a mistake of ours
    """A file that an admin sent is not an export."""


class PlaygroundError(UnderstudyError):
    """The bot of the playground does not start or answer."""
