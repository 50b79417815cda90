"""What is kept: documents and notifications, and the journal that writes them and more to disk."""
