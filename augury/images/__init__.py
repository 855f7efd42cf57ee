"""Labelled images in memory, on disk and as vectors: pixels, files, shards, streams, names, grids, features."""
