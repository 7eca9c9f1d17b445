"""The parts of a sweep over hyperparameters with Ray Tune."""
