"""How many synthetic images per real one each generator's are best used at, and from where on more of them hurt."""
