"""Documents for the inside of a guest. Pure: they are built here and written elsewhere."""
