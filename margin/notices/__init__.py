"""What clients are told: texts, addresses, deliveries and what came of them."""
