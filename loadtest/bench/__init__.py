"""The benchmark: workloads, the servers they are run on, the clients that load them, and the report."""
