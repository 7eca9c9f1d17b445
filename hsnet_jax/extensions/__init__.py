"""Holds what goes beyond the published network.

`head` says what a network's head has beyond it; `prior` computes the map that it may start from.
`tiles` looks at pictures in parts, with any network, and `windows` finds where an object is in one.
"""
