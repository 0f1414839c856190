"""HOW MUCH THERE IS: pools, the book, locations, statements, reconciliation, proofs."""
