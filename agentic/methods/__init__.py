"""Value learning from the same data: TD3, TD3+BC and IQL, beside which a Transformer must stand."""
