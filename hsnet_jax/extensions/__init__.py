"""Holds what goes beyond the published network.

`head` says what a network's head has beyond it; `prior` computes the map that it may start from,
`masking` what it may compare queries with, `presence` whether what it found is the object at all.
`tiles` looks at pictures in parts, with any network, `second_look` again at what was found, and
`windows` finds where an object is.
"""
