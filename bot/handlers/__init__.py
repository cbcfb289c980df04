"""Handle each kind of update."""
