"""The HTTP contract, over a real port."""
