"""What the tests of the store share."""

from tests.bot.disks import remount, small_disk

__all__ = ["remount", "small_disk"]
