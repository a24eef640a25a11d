"""Answers without an executor, for tests."""

from samplerbench_studies.why_steps import store


def answered(row, effort):
    """A row's answer: what is known of it, else measured here, and kept."""
    known = store.recall(row, effort)
    return known or store.keep(row, effort, store.key_of(row, effort), row.measure(effort))
