"""A small procedural artist: endless drawings of invented characters, in several hands and states of finish.

Demo, tests and benchmarks need pictures that may be shipped; these are drawn on the spot and belong to the project.
The same arguments always give the same picture.
"""

from deploy.demo.artist.canvas import Finish
from deploy.demo.artist.cast import Character, character
from deploy.demo.artist.hands import Hand, hand
from deploy.demo.artist.scene import Drawing, draw

__all__ = ["Character", "Drawing", "Finish", "Hand", "character", "draw", "hand"]
