"""What an arm learns from, and how."""
