"""Starts `understudy-bot`."""

from model.launch import launch


def main() -> None:
    """Run the command line."""
    launch("understudy-bot", "bot.__main__")
