"""A margin call from threshold to cure: drafted, issued, carried on, disputed, met and ended."""
