"""Other editions of the book: their calls over the same chapter."""
