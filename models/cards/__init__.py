"""Cards of the shipped models: what each is and where it comes from, beside its weights and its reference statistics."""
