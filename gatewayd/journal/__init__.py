"""What is kept: documents and notifications, in memory for now."""
