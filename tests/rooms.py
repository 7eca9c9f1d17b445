"""The order of the rooms, which test_rooms.py holds and docs/rooms.svg shows."""

# The notions of each package in order, lowest first: a notion (a file, or a whole room) imports
# from lines above its own, and never from its neighbors on the same line.
ORDER = {
  'hsnet_jax': (
    ('errors', 'api'),
    ('whole_files',),
    ('resize', 'checkpoints'),
    ('kernels',),
    ('correlation', 'conv4d'),
    ('backbones',),
    ('extensions',),
    ('encoder', 'decoder'),
    ('model',),
    ('weights',),
    ('inference', 'metrics'),
    ('models',),
    ('segmenter', 'training', 'baselines'),
    ('export',),
    ('moved',),
  ),
  'data_pipelines': (
    ('reading',),
    ('splits',),
    ('episodes',),
    ('benchmark',),
    ('published', 'own_pictures', 'shapes', 'loading'),
    ('heldout', 'unseen'),
    ('strict',),
    ('prepared',),
    ('catalog',),
  ),
  'experiments': (
    ('storage', 'settings'),
    ('reporting',),
    ('evaluation', 'model_zoo'),
    ('serving',),
    ('training', 'labelling'),
    ('sweeps', 'timing', 'tiny_backbone', 'reproduction'),
    ('recovery',),
    ('command',),
    ('a command',),
  ),
}
