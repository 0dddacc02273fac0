"""The pages for people: status, failures and targets."""
