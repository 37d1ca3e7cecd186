"""Boards that are not ours, for the adapter's contract: each an app with settings of its own and a kit for the suite.

``uuidboard``: UUID keys, the picture as a path, tags as words in a text field, nothing else.
``nautboard``: shaped and behaving like Boorunaut: taggit tags with categories behind a foreign key, ratings and states
as numbers, a mirror of the tags, no transaction around its upload.
"""
