"""What is run: one file a command (`python -m experiments.train --help`), their parts in rooms."""
