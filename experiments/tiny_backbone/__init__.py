"""How the `tiny` backbone that comes with the project was trained."""
