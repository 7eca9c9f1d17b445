"""Draws the embedded benchmark."""
