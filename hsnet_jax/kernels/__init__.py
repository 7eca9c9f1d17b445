"""Convolves in the form that each platform does fastest; `forms` says which form that is."""
