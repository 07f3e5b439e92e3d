"""Finders side by side on the same maps, none of which trained any of them."""
