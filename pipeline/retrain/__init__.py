"""Retrain on fresh exports: merge, apply consent, train, compare, promote, write a receipt."""

MIN_NEW_MESSAGES = 200
"""A retraining with fewer new messages stops before it trains."""

KEEP = 5
"""Versions that a retraining keeps."""
