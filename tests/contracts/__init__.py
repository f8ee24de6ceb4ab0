"""What providers' contracts say about our requests: our own schemas always, Microsoft's data where it is at hand."""
