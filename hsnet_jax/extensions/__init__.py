"""Holds what goes beyond the published network, each part of it switched on by a field of `Head`.

`head` says what a network's head is; `prior` computes the map that it may start from. `tiles`
looks at pictures in parts, which needs no other network.
"""
