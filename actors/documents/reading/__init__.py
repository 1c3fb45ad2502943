"""What the reader's process does with a book; nothing in here runs in a worker process."""
