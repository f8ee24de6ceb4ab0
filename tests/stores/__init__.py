"""Every store against one suite, and what only one of them does."""
