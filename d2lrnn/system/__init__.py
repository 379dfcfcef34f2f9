"""What the machine gives: files, memory, processes, libraries, a terminal. Nothing here knows a model."""
