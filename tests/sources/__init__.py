"""SOCKET 1: golden payloads for every kind, and what no golden file can say."""
