"""Modules of the result table: reading, column types, curves, LaTeX, error decomposition.

:mod:`..result_table` has the class that users see. Columns are declared elsewhere: measured ones in
:mod:`..quantities`, others in :mod:`..columns`.
"""
