"""Starts the reference board with everything it needs, shows it at work, and stops all of it again."""
