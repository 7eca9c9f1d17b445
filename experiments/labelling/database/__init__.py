"""Keeps what was drawn, found and decided in one SQLite file beside the pictures.

`opened` makes the file and its transactions, `rows` says what it holds of each picture, `store`
changes it, a transaction at a time, `history` is the row of propagations, one of which
is shown.
"""
