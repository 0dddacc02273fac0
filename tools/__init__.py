"""Generators of files in this repository, and checks of its supply chain."""
