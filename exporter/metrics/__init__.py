"""The metrics: one table that declares them, and the exposition that shows them."""
