"""The command line of the offline pipeline."""
