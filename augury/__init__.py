"""Nouns that several stages share: parameters, images, features, fidelity, statistics."""
