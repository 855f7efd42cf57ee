"""Labelled images in memory and on disk: pixels, files, shards, streams, names, grids."""
