"""Reproduces a row of the paper's tables: plans the commands, runs what is not done, compares.

`config` names what is asked for, `rows` the rows that there are, `plan` the commands of one and
what is missing for them, `running` runs them and lays published, ours and the difference side by
side.
"""
