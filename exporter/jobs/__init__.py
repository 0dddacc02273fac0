"""The domain: targets, jobs, their states, and what one poll publishes."""
