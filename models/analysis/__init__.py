"""What a model knows about its data: MMSE curves, information, posterior covariances, path divergences. Studies use it."""
