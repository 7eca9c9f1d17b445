"""Serves a segmenter to programs: pictures come over HTTP, masks go back.

`config` names what is served, `starting` puts it together. `server` answers requests, which
`bodies` reads in any form that they come in; `engine` segments what has come, one thread over the
network, by `segmenting`; `answers` writes it as JSON or PNG, `metrics` counts. `access` lets the
right ones in and `listening` opens a port: the page of `labelling` does both by the same functions.
"""
