"""System checks: every misconfiguration has an id and a hint that says how to mend it."""
