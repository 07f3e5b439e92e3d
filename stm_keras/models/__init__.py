"""A model directory: card, weights, exports, and what it can be asked."""
