"""The report of a run: one HTML page that needs nothing but itself
(:func:`.build.write_report`).
"""
