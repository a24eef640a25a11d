"""Networks of EDM and EDM2, in the layout of their files."""
