"""What the four backends share: their interface, threads, history and progress, generation, the book's tools."""
