"""Record how versions were made and whose messages they contain; delete and transfer them."""
