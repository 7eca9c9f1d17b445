"""How the public names of a package are found: each one where it is first asked for."""
