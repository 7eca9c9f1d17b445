"""Reads files of every kind into arrays: photographs, labels, masks, drawn outlines."""
