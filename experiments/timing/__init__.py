"""The things that are timed, always one against another in turn."""
