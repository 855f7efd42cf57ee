"""Before a run: what a folder holds and what follows, what this machine lacks, what a run will cost."""
