"""The service: signed calls, typed answers, errors, rate limit and connections."""
