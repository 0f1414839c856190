"""What the product is made of and how it is handed out; no part of it, and imported by none."""
