"""Finds what is to be segmented, segments it, writes results and tells of them."""
