"""What the tests of the store share."""

from tests.bot.small_disk import remount, small_disk

__all__ = ["remount", "small_disk"]
