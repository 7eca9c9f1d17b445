"""Times things, always one against another in turn."""
