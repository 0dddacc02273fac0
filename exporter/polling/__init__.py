"""Polling: pagination, what one poll reads, reconciliation, the survey, and the schedule."""
