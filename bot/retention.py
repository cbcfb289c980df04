"""Lets what people wrote who did not agree vanish, once it is of no use as context."""

import logging
from datetime import datetime, timedelta

from bot.house import House

logger = logging.getLogger(__name__)


async def let_vanish(house: House, now: datetime) -> int:
    """Erase messages older than RETENTION_DAYS, except of friends who agreed; return how many.

    The bot's own lines in groups stay. In private chats with admins everything is erased.
    """
    moment = now - timedelta(days=house.settings.retention_days)
    access, erasing = house.access, house.shelves.erasing
    strangers = {
        author
        for author in await erasing.authors_before(moment)
        if author not in access.roster.understudies and not access.has_agreed(author)
    }
    vanished = await erasing.expire(moment, strangers)
    if vanished:
        logger.info("%d messages were older than RETENTION_DAYS and are erased", vanished)
    return vanished
