"""Runs commands: one file each (`python -m experiments.train --help`), their parts in rooms."""
