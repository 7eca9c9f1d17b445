"""The embedded benchmark of drawn objects."""
