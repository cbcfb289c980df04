"""Offline work: from a Telegram export to a trained model."""
