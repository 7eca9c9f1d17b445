"""Holds what commands share: how they start and fail, their flags, and what users give them."""
