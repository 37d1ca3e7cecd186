"""Which tags follow? Suggestions, their states, and their way to the board."""
