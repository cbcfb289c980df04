"""One module per change of the schema, the oldest first."""
