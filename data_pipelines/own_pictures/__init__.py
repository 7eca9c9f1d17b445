"""Reads a user's own pictures as a benchmark, in each of the layouts that people have."""
