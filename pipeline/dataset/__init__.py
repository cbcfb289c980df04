"""Turn messages into a training set."""
