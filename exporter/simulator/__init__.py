"""A simulated IMS endpoint with its jobs, faults and a believable life: for the demo, tests and trials."""
