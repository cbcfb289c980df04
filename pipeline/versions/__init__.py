"""Record how versions were trained and whose messages they contain; delete and transfer them."""
