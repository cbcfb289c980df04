"""One module per change to the schema, the oldest first."""
