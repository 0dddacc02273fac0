"""Who is at work: the ledger's file lock, and the Lease of Kubernetes."""
