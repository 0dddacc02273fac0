"""A simulated IMS endpoint with jobs, a realistic workload and faults, for the demo and the tests."""
