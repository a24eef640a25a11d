"""Does a table here predict one there? Rankings of samplers by the suite's columns on small models,
against published FIDs of the same methods on other people's networks.
"""
