"""Nearest vectors by inner product. An index is derived from ``Vector`` rows and may be thrown away at any time.

No index locks: its owner (``embeddings.similar``) lets one thread in at a time.
"""
