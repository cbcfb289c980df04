"""The last step of `understudy start`: the bot's token, its admin, and `.env`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from model.artifacts.commands import DEFAULT_MODELS
from model.artifacts.registry import GROUPS
from model.chat.names import make_printable
from pipeline.dataset.roster_file import ROSTER_FILE, read_roster
from pipeline.start.asking import Asker, join_names
from pipeline.start.token import (
    ENV_FILE,
    TELEGRAM,
    Bot,
    TokenError,
    check_token,
    find_senders,
    read_settings,
    write_settings,
)

_BOTFATHER = (
    "In Telegram, write /newbot to @BotFather and copy the token that it sends. The token is "
    "written to .env, which only you can read; it is not shown while you type."
)
_PRIVACY = (
    "This bot would not see the group's messages. Write /setprivacy to @BotFather, choose the bot, "
    "then Disable."
)


@dataclass(frozen=True, slots=True)
class BotSetup:
    """Asks for what the bot needs: every field that is None.

    `write_env` runs `understudy-bot setup`. `on_token` receives the username of the token's bot
    once the token is in `.env`.
    """

    asker: Asker
    models_dir: Path
    given_token: str | None
    given_admin: int | None
    write_env: Callable[[], None]
    on_token: Callable[[str], None]

    def _explain_later(self) -> None:
        """Say what to do without a bot now."""
        root = self.models_dir.parent.parent
        if self.models_dir.parent.name == GROUPS:
            self.asker.say(
                f"The bot whose MODELS_DIR is {make_printable(str(root))} uses this model within "
                "seconds. To check the models of all groups, run in the bot's folder:"
            )
            self.asker.print_command("understudy-bot", "check")
        else:
            self.asker.say("To set up the bot later, run:")
            self.asker.print_command("understudy", "start", models_dir=self.models_dir)

    def run(self) -> bool:
        """Write `.env`, and return whether to start the bot now.

        Raises:
            TokenError: The token cannot be used, and nobody can be asked for another.
        """
        settings = read_settings()
        api = settings.get("TELEGRAM_API_URL", "").rstrip("/") or TELEGRAM
        found = self._find_token(settings.get("BOT_TOKEN", "").strip(), api)
        if found is None:
            self._explain_later()
            return False
        token, bot = found
        changes = {"BOT_TOKEN": token}
        if self.models_dir != DEFAULT_MODELS or settings.get("MODELS_DIR"):
            changes["MODELS_DIR"] = str(self.models_dir)
        if not ENV_FILE.is_file():
            self.asker.print_command("understudy-bot", "setup")
            self.write_env()
        write_settings(changes)
        self.asker.say(f"This is the token of @{bot.username}. It is in .env now.", "green")
        self.on_token(bot.username)
        self._check_privacy_mode(token, api, bot)
        admin = self._find_admin(token, api, bot, settings.get("ADMINS", "").strip())
        if admin:
            write_settings({"ADMINS": admin})
        self._explain_next(bot, bool(admin))
        self.asker.print_command("understudy-bot", "run")
        return self.asker.confirm("Start the bot now?", default=True)

    def _find_token(self, known: str, api: str) -> tuple[str, Bot] | None:
        """Return a token that Telegram knows, and its bot; None if the person has none yet."""
        given = self.given_token
        for token in filter(None, (given, known)):
            try:
                return token, check_token(token, api)
            except TokenError as error:
                if given or self.asker.read_secret is None:
                    raise
                self.asker.say(f"The token in .env: {error}", "yellow")
        self.asker.say(_BOTFATHER)
        while True:
            token = self.asker.ask_secret("Token (Enter: later)", "--token TOKEN")
            if not token:
                return None
            try:
                return token, check_token(token, api)
            except TokenError as error:
                if self.asker.read_secret is None or self.asker.takes_defaults:
                    raise
                self.asker.say(f"{error}.", "yellow")

    def _check_privacy_mode(self, token: str, api: str, bot: Bot) -> None:
        """Explain how to turn privacy mode off, until it is off or the person continues without."""
        while not bot.reads_all:
            self.asker.say(_PRIVACY, "yellow")
            if not self.asker.confirm("Is it off now? (n continues without it)", default=False):
                return
            bot = check_token(token, api)

    def _find_admin(self, token: str, api: str, bot: Bot, known: str) -> str:
        """Return the id of the bot's admin: the given one, the known one, or who writes to it."""
        if self.given_admin is not None:
            return str(self.given_admin)
        if known or self.asker.takes_defaults or self.asker.read is None:
            return known
        self.asker.say(
            f"The bot stays only in groups that its admins add it to. To become its "
            f"admin, write anything to @{bot.username} in Telegram now."
        )
        while True:
            answer = self.asker.ask("Press Enter when done, or type your user id, or skip", "done")
            if answer == "skip":
                return ""
            if answer.isdecimal():
                return answer
            try:
                senders = find_senders(token, api)
            except TokenError as error:
                self.asker.say(f"{error}.", "yellow")
                continue
            for sender in senders:
                question = f"Is {sender.name} (id {sender.user_id}) you?"
                if self.asker.confirm(question, default=True):
                    return str(sender.user_id)
            self.asker.say(f"Nobody else has written to @{bot.username} yet.", "yellow")

    def _explain_next(self, bot: Bot, has_admin: bool) -> None:  # noqa: FBT001  used once
        roster = read_roster(self.models_dir / ROSTER_FILE)
        agreed = [voice.name for voice in roster.voices if voice.imitate == "yes"]
        who = f"It speaks as {join_names(agreed)}" if agreed else "It cannot speak as anyone yet"
        first = "" if has_admin else f"Send /start to @{bot.username}; it says what to do. "
        self.asker.say(
            f"{first}Add @{bot.username} to the group. {who}; others send /optin there. "
            "`understudy-bot check` finds problems. Ctrl-C stops the bot."
        )
