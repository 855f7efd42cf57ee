"""The networks of the lecture: what they cost, and what each makes of the user's images."""
