"""Compares HSNet with other methods on the same frozen features, one file each."""
