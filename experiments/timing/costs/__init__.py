"""Measures what the network costs: its memory, how it grows, and which kernel or part takes it."""
