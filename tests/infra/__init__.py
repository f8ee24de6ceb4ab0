"""The infrastructure: the real Bicep CLI evaluates it, rules look at every resource."""
