"""Other methods on the same frozen features, one file each."""
