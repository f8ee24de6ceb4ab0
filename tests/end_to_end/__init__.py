"""The whole gateway as a process, with real tools and real crashes."""
