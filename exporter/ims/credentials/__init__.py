"""Credentials: where access keys come from, and how they are refreshed."""
