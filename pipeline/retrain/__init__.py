"""Retraining from fresh exports: merge, honour consent, train, compare, promote, write down."""
