"""Who decided what, and what should be looked at next? Flags, queue, decisions, audit."""
