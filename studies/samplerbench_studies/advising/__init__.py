"""Whether what ``advise`` recommends is the best that there is: each recommendation beside an exhaustive
sweep over all configurations that ``advise`` had, on latents that it never saw.
"""
