"""HOW MUCH IS REQUIRED: instruments, prices, positions, the engine, runs, calls, liquidation."""
