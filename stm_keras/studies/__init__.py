"""Research on top of the product: nothing outside imports it."""
