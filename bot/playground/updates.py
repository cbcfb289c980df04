"""The updates waiting for the bot, and their delivery by polling or webhook."""

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass

from bot.playground.objects import ApiError, Json

ONLY_WHEN_ASKED = frozenset({"chat_member", "message_reaction", "message_reaction_count"})
FIRST_UPDATE = 1000
MAX_UPDATES_PER_POLL = 100
SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}")
OTHER_POLLER = (
    "Conflict: terminated by other getUpdates request; "
    "make sure that only one bot instance is running"
)
WEBHOOK_SET = "Conflict: terminated by setWebhook request"
WEBHOOK_ACTIVE = (
    "Conflict: can't use getUpdates method while webhook is active; "
    "use deleteWebhook to delete the webhook first"
)


@dataclass(frozen=True, slots=True)
class Webhook:
    """The address for updates, and the secret sent with each."""

    url: str
    secret: str | None = None


class Updates:
    """The queue of updates; one stays until the bot acknowledges it."""

    def __init__(self) -> None:
        self.pending: list[Json] = []
        self.webhook: Webhook | None = None
        self.last_error: str | None = None
        self._allowed: frozenset[str] | None = None
        self.next_id = FIRST_UPDATE
        self._poller: object = None
        self._interruption = OTHER_POLLER
        self._changed = asyncio.Condition()

    async def push(self, kind: str, body: Json) -> None:
        """Queue an update, if the bot asked for its kind."""
        is_wanted = kind not in ONLY_WHEN_ASKED if self._allowed is None else kind in self._allowed
        if not is_wanted:
            return
        self.pending.append({"update_id": self.next_id, kind: body})
        self.next_id += 1
        await self._wake()

    async def poll(self, params: Json) -> list[Json]:
        """Answer getUpdates: wait for an update, and end an older poll.

        Raises:
            ApiError: 409 if a webhook is set, or another poll or a webhook arrived in the meantime.
        """
        if self.webhook is not None:
            raise ApiError(409, WEBHOOK_ACTIVE)
        mine = self._poller = object()
        self._interruption = OTHER_POLLER
        self._allow(params.get("allowed_updates"))
        self._acknowledge(params.get("offset", 0))
        await self._wake()
        with suppress(TimeoutError):
            async with asyncio.timeout(params.get("timeout", 0)), self._changed:
                await self._changed.wait_for(lambda: self.pending or self._poller is not mine)
        if self._poller is not mine:
            raise ApiError(409, self._interruption)
        return self.pending[: min(params.get("limit", MAX_UPDATES_PER_POLL), MAX_UPDATES_PER_POLL)]

    async def set_webhook(self, params: Json) -> None:
        """Deliver updates by webhook; without a url, by polling.

        Raises:
            ApiError: 400 if Telegram would reject the url or the secret.
        """
        secret = params.get("secret_token")
        if secret and not SECRET.fullmatch(secret):
            raise ApiError(400, "Bad Request: secret token contains unallowed characters")
        url = params.get("url")
        if url and not url.startswith(("http://", "https://")):
            raise ApiError(
                400, "Bad Request: bad webhook: An HTTPS URL must be provided for webhook"
            )
        self.webhook = Webhook(url, secret) if url else None
        self.last_error = None
        self._allow(params.get("allowed_updates"))
        if params.get("drop_pending_updates"):
            self.pending = []
        if self.webhook is not None:
            self._poller, self._interruption = None, WEBHOOK_SET
        await self._wake()

    async def next_delivery(self) -> tuple[Webhook, Json]:
        """Wait for a webhook and an update, and return both."""
        async with self._changed:
            while self.webhook is None or not self.pending:
                await self._changed.wait()
            return self.webhook, self.pending[0]

    def delivered(self, update: Json) -> None:
        """Remove an update that the webhook accepted."""
        self.last_error = None
        self.pending = [kept for kept in self.pending if kept is not update]

    def webhook_info(self) -> Json:
        """Return the Bot API's WebhookInfo."""
        info: Json = {
            "url": self.webhook.url if self.webhook else "",
            "has_custom_certificate": False,
            "pending_update_count": len(self.pending),
        }
        if self._allowed is not None:
            info["allowed_updates"] = sorted(self._allowed)
        if self.last_error is not None:
            info["last_error_message"] = self.last_error
        return info

    def _allow(self, kinds: list[str] | None) -> None:
        """Set the wanted kinds: None keeps the current ones, an empty list means the default."""
        if kinds is not None:
            self._allowed = frozenset(kinds) or None

    def _acknowledge(self, offset: int) -> None:
        """Remove the updates before the offset; a negative offset counts from the end."""
        if offset < 0:
            self.pending = self.pending[offset:]
        else:
            self.pending = [kept for kept in self.pending if kept["update_id"] >= offset]

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()
