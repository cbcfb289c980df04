"""Measure a trained version on held-out conversations."""
