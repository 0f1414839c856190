"""Money out to clients: asked for, released, paid, and confirmed or returned."""
