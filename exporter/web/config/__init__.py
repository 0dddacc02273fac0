"""The web configuration file: its model, its checks, and how it is read."""
