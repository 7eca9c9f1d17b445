"""Keeps what processes share on disk: locks of folders, configurations as JSON, the checkout."""
