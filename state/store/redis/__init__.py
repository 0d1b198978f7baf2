"""The store on Redis, one server or a Cluster (docs/reference/state.md)."""
