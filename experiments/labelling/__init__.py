"""Serves a page on which a person labels a folder of pictures, and the network helps.

`config` names what is served, `server` is the web application over the parts: `access` lets the
right browser in, `database` keeps what was drawn, found and decided, `pictures` reads the folder
and nothing outside of it, `labels` reads and writes masks as PNGs, `propagation` segments in the
background what nobody has drawn with what `network` encodes once, `exporting` and `importing`
write and read what annotation tools have. `page` are the files that a browser loads.
"""
