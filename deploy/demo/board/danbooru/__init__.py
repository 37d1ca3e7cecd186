"""Danbooru's read API, so that the clients people already use work against this board."""
