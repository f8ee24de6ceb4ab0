"""The doctor examined: each check against something that is well, and against each way of not being so."""
