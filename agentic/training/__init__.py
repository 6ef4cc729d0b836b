"""From batches to a trained network: loss, step, loop, devices, and the run folder."""
