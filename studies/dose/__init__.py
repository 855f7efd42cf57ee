"""How many synthetic images are best, how much should each of them count, and from where on do more hurt?"""
