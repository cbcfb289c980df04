"""Retrain on fresh exports: merge, apply consent, train, compare, promote, write a receipt."""
