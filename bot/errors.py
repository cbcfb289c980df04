"""The bot's exceptions, in addition to the model's.

UnderstudyError           says what happened and what to do; the command line prints it
├── SettingsError         a setting is missing or invalid
├── StoreError            a database that cannot be used, written or copied
├── StoppingError         the bot is being stopped; waiting work is done after the restart
├── DumpError             a dump is impossible: the chat or the file is not clear
├── TelegramUnreachable   the Bot API does not answer, or refuses the token
├── BotEnded              a task that the bot needs has ended: the bot must be restarted
├── ExportRefused         a file that an admin sent is not an export
└── PlaygroundError       the bot does not start, or does not answer, in the playground
"""

from model.errors import UnderstudyError


class SettingsError(UnderstudyError):
    """A setting is missing or invalid."""


class StoreError(UnderstudyError):
    """A database cannot be used, written or copied."""


class StoppingError(UnderstudyError):
    """The bot is being stopped; waiting work is done after the restart."""


class DumpError(UnderstudyError):
    """What is kept cannot be dumped: which chat, or where to, is not clear."""


class TelegramUnreachable(UnderstudyError):  # noqa: N818  a state, not a mistake of ours
    """The Bot API does not answer, or not to this token."""


class BotEnded(UnderstudyError):  # noqa: N818  a state, not a mistake of ours
    """A task that the bot needs has ended: the bot must be restarted."""


class ExportRefused(UnderstudyError):  # noqa: N818  a verdict on a file, not a mistake of ours
    """A file that an admin sent is no export."""


class PlaygroundError(UnderstudyError):
    """The bot does not come up, or does not answer, in the playground."""
