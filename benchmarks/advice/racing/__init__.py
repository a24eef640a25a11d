"""The race: configurations on the same latents, more and more of them, until the worse ones are known."""
