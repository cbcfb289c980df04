"""The version of understudy-bot; pyproject.toml reads it here, so a checkout knows it too."""

VERSION = "0.1.0"
