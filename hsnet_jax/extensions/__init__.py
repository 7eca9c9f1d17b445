"""Holds what goes beyond the published network.

`head` says what a network has beyond it; `prior` computes the map that its head may start from,
`masking` what it may compare queries with.
`tiles` looks at pictures in parts, with any network.
"""
