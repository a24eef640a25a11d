"""From a cell to samples: batches, counted evaluations, execution modes, shards, trajectories
and snapshots.
"""
