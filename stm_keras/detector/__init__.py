"""One detector: preprocess, network, decode, select; its card, its exports."""
