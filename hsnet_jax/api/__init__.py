"""Finds the public names of a package, each one where it is first asked for."""
