"""The margin engine: arrays in, arrays out, and nothing of the database.

House rules v1 are exact: arrays hold Decimal, and an operation that would round is an error.
"""
