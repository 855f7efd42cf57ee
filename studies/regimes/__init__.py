"""Where synthetic images help: labels per class, long tails and modes of learning, with recipes tried in each."""
