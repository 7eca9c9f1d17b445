"""Reads what annotation tools export, a file for each of their formats."""
