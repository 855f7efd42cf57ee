"""A training that survives: its steps, snapshots, checkpoints and history."""
