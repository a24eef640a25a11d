"""Networks of k-diffusion's configurations, in the layout of its files."""
