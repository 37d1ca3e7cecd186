"""Eyes for an image board: what does the network say about this picture?"""

__version__ = "0.1.0"
