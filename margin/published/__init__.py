"""Cases that others published, read into the engine's arrays and computed by the engine."""
