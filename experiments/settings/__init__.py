"""Holds what training and evaluation are told alike: their settings, and recipes of defaults."""
