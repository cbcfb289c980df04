"""Starts `understudy`."""

from model.launch import launch


def main() -> None:
    """Run the command line."""
    launch("understudy", "pipeline.cli.main")
