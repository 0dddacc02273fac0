"""Which of several processes is the leader: by the ledger's file lock, or by a Kubernetes Lease."""
