"""From files of every kind to arrays: photographs, labels, masks, drawn outlines."""
