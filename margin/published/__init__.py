"""Published cases, read into the arrays of the engine; nothing is computed here."""
