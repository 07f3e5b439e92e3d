"""Igor binary waves (.ibw)."""
