"""What the lessons need beside the book's calls."""
