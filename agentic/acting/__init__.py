"""What acts: policies with a context and without, side by side in rollouts, and their memory."""
