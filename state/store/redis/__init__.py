"""The store on Redis, one server or a Cluster (docs/state.md)."""
