"""Gains, intervals, verdicts: what the stages left behind, and what it lets one say."""
