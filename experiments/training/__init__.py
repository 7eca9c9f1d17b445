"""The parts of a training run: its configuration, session, loop, folder and log."""
