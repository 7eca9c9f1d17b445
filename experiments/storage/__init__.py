"""Folders that several processes may write to."""
