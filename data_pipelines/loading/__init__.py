"""Loads episodes into batches on devices: rows, packed lists, workers, the Grain loader."""
