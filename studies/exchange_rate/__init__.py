"""How many labelled images the synthetic ones were worth, read off the learning curve of the reference arm."""
