"""Many replicas on paper: the server's own policy, driven by batch times that were measured."""
