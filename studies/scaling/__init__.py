"""Compound scaling: is a network's extra cost better spent on depth, on width, on resolution, or on all three?"""
