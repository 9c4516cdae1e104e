"""Training of the network. Never imported by the node."""
