"""Measurements behind ``manage.py booru_bench``: arms interleaved in one run, so that ratios hold on a busy machine."""
