"""The page: what it says, draws and links."""
