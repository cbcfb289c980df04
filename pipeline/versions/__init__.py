"""What is recorded beside each trained version, and how versions are erased."""
