"""Evaluating a method on episodes: the methods, the tally, the gallery."""
