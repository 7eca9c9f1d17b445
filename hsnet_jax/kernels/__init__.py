"""Convolutions in the form that is fastest on each platform; which form for which shape."""
