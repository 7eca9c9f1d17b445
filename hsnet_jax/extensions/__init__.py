"""Holds what goes beyond the published network.

`head` says what a network's head has beyond it; `prior` computes the map that it may start from.
`tiles` looks at pictures in parts, and `second_look` again at where something was found, with any
network.
"""
