"""How the paths of a model's probability flow bend, for runs that ask for it."""
