"""What whoever runs the server can see of it."""
