"""What a checkpoint's files hold, read without executing anything of them, and what it takes to
make a model of them: the specification.
"""
