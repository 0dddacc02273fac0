"""The settings: their model, their sources, and the problems in them."""
